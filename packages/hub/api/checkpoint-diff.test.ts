/** Differences over a real connection: as lines, as a patch, broken off, and too many at once. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { DiffLine, PATCH_BROKEN_OFF, type Problem } from '@autovibe/contract'
import { readDiff } from './testing/read-diff.ts'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())
const url = new URL(await api.app.listen({ host: '127.0.0.1', port: 0 }))
const machine = await api.machine(await api.project('p'), 'm')

const lines = (name: string, count: number): string => Array.from({ length: count }, (_, index) => `${name} ${index}\n`).join('')
const before = await api.checkpoint(machine, { files: { 'project/a.txt': lines('a', 20), 'project/gone': 'gone\n', 'project/bytes': '\0old' } })
const tip = await api.checkpoint(machine, {
  files: { 'project/b.txt': `${lines('a', 20)}more\n`, 'project/new': 'new\n', 'project/bytes': '\0new', 'home/secret': 's' },
  parent: before,
})
const path = `/v1/checkpoints/${tip}/diff?against=${before}`
const ask = (query = '', accept = 'application/x-ndjson') =>
  fetch(new URL(path + query, url), { headers: { authorization: `Bearer ${api.keys.user}`, accept } })

test('the lines are a head, the files and the totals; a renamed file comes with where it was', async () => {
  const { files, totals } = await readDiff(api, path)
  assert.deepEqual(
    files.map(({ status, path, renamed_from, similarity, binary, no_patch }) => [status, path, renamed_from, similarity, binary, no_patch]),
    [
      ['renamed', 'b.txt', 'a.txt', 94, false, null],
      ['changed', 'bytes', null, null, true, null],
      ['removed', 'gone', null, null, false, null],
      ['added', 'new', null, null, false, null],
    ],
  )
  assert.deepEqual(totals, { files: 4, ignored: 0, added_lines: 2, removed_lines: 1, renames_limited: false })
  const plain = await readDiff(api, `${path}&renames=false&detail=names`)
  assert.deepEqual(plain.totals, { files: 5, ignored: 0, added_lines: 0, removed_lines: 0, renames_limited: false })
  assert.ok(plain.files.every(({ patch, no_patch }) => patch === null && no_patch === 'not_asked'))
})

test('as text/x-diff all patches are one, which no browser runs', async () => {
  const answer = await ask('', 'text/x-diff')
  assert.deepEqual(
    [answer.status, answer.headers.get('content-type'), answer.headers.get('x-content-type-options')],
    [200, 'text/x-diff; charset=utf-8', 'nosniff'],
  )
  const { files } = await readDiff(api, path)
  assert.equal(await answer.text(), files.map(({ patch }) => patch).join(''))
  const text = await (await ask('&detail=text', 'text/x-diff')).text()
  assert.match(text, /^# changed bytes: binary$/m)
  for (const detail of ['names', 'lines']) assert.equal((await ask(`&detail=${detail}`, 'text/x-diff')).status, 400)
})

test('checkpoints of two projects are not compared', async () => {
  const other = await api.checkpoint(await api.machine(await api.project('q'), 'n'), { files: { 'project/a': 'x' } })
  const { status, body } = await api.call('GET', `/v1/checkpoints/${other}/diff?against=${before}`)
  assert.deepEqual([status, body.code], [400, 'request.invalid'])
  assert.match(body.fix ?? '', /autovibe checkpoint list mch_/)
})

test('what cannot be read at once is an ordinary problem; what cannot later ends the lines with it, and makes a patch that git refuses', async () => {
  const place = await api.machine(await api.project('damaged'), 'd')
  const empty = await api.checkpoint(place, { files: {} })
  const early = await segments()
  await api.checkpoint(place, { files: { 'project/z': 'lost' } })
  const lost = (await segments()).filter((one) => !early.includes(one))
  const full = await api.checkpoint(place, { files: { 'project/a': 'there\n', 'project/z': 'lost' } })
  for (const one of lost) await rm(one)
  const diff = (accept: string, id = full) =>
    fetch(new URL(`/v1/checkpoints/${id}/diff?against=${empty}`, url), { headers: { authorization: `Bearer ${api.keys.user}`, accept } })

  const { got, broken } = await taken(await diff('application/x-ndjson'))
  const all = got
    .trimEnd()
    .split('\n')
    .map((line) => DiffLine.parse(JSON.parse(line)))
  assert.deepEqual([all.map(({ type }) => type), broken], [['diff', 'file', 'problem'], true])
  assert.ok(all[2]?.type === 'problem' && all[2].problem.code === 'checkpoint.corrupt')
  const patch = await taken(await diff('text/x-diff'))
  assert.ok(patch.broken && patch.got.includes('+there\n') && patch.got.endsWith(PATCH_BROKEN_OFF), patch.got)
  const folder = await mkdtemp(join(tmpdir(), 'autovibe-broken-'))
  try {
    await writeFile(join(folder, 'patch'), patch.got)
    await assert.rejects(promisify(execFile)('git', ['apply', 'patch'], { cwd: folder, env: { ...process.env, GIT_CEILING_DIRECTORIES: tmpdir() } }))
    assert.deepEqual(await readdir(folder), ['patch'])
  } finally {
    await rm(folder, { recursive: true })
  }

  const known = await segments()
  const unread = await api.checkpoint(place, { files: { 'project/b': 'never read\n' } })
  for (const one of await segments()) if (!known.includes(one)) await rm(one)
  const answer = await diff('text/x-diff', unread)
  assert.deepEqual([answer.status, ((await answer.json()) as Problem).code], [500, 'checkpoint.corrupt'])
})

async function segments(): Promise<string[]> {
  const all = await readdir(join(api.dataDir, 'store'), { recursive: true, withFileTypes: true })
  return all.filter((one) => one.isFile() && one.parentPath.includes('segments')).map((one) => join(one.parentPath, one.name))
}

/** Everything up to the end, or to where it breaks off. */
async function taken(answer: Response): Promise<{ got: string; broken: boolean }> {
  const decoder = new TextDecoder()
  let got = ''
  try {
    for await (const chunk of answer.body ?? []) got += decoder.decode(chunk, { stream: true })
  } catch {
    return { got, broken: true }
  }
  return { got, broken: false }
}

test('so many differences are made at once and no more, until one is left', async () => {
  // Random text does not shrink, so that a reader who takes nothing is soon felt.
  const files = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`project/f${index}`, api.runtime.randomBytes(250 * 1024).toString('hex')]))
  const [empty, full] = [await api.checkpoint(machine, { files: {} }), await api.checkpoint(machine, { files })]
  const address = `/v1/checkpoints/${full}/diff?against=${empty}`
  const sockets: Socket[] = []
  for (let index = 0; index < 8; index++) {
    const socket = connect({ host: url.hostname, port: Number(url.port) })
    sockets.push(socket)
    socket.write(`GET ${address} HTTP/1.1\r\nhost: ${url.host}\r\nauthorization: Bearer ${api.keys.user}\r\n\r\n`)
    // The first bytes have come, and none is taken.
    await once(socket, 'readable')
  }
  const refused = await api.call('GET', address)
  assert.deepEqual([refused.status, refused.body.code], [429, 'request.rate_limited'])
  for (const socket of sockets) socket.destroy()
  let status = 429
  while (status === 429) status = (await api.call('GET', `${address}&detail=names`)).status
  assert.equal(status, 200)
})
