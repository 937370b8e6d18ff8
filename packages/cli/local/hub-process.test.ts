import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { checkPort, findHub, reasonOfDeath, remoteHub } from './hub-process.ts'

const inFolder = async (work: (folder: string) => Promise<void>) => {
  const folder = mkdtempSync(join(tmpdir(), 'autovibe-test-hub-'))
  try {
    await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('a hub.json that a dead Hub left behind is no Hub, nor is one whose process is another program, nor a broken one', async () => {
  await inFolder(async (folder) => {
    const file = (content: string) => writeFileSync(join(folder, 'hub.json'), content)
    assert.equal(await findHub(folder), undefined)
    for (const pid of [2 ** 22 + 1, process.pid, 0, -1, 1.5]) {
      file(JSON.stringify({ url: 'http://127.0.0.1:1', pid, version: '0', started_at: '' }))
      assert.equal(await findHub(folder), undefined, String(pid))
    }
    for (const broken of ['', '{', '[]', '{"url": 5}', `{"url": "nowhere", "pid": ${process.pid}}`]) {
      file(broken)
      assert.equal(await findHub(folder), undefined, broken)
    }
  })
})

test('a Hub that could not start is quoted from its log, and only from this start', async () => {
  await inFolder(async (folder) => {
    const line = (code: 'hub.port_in_use' | 'hub.data_version') =>
      `${JSON.stringify(new AutovibeError(code, `it was ${code}`, { fix: 'do this' }).toProblem())}\n`
    const old = line('hub.data_version')
    writeFileSync(join(folder, 'hub.log'), `${old}{"level":30,"msg":"starting"}\nplain words\n${line('hub.port_in_use')}{"cut o`)
    const reason = await reasonOfDeath(folder, old.length, 6)
    assert.deepEqual([reason.code, reason.message, reason.fix, reason.exitCode], ['hub.port_in_use', 'it was hub.port_in_use', 'do this', 6])
    writeFileSync(join(folder, 'hub.log'), `${old}Segmentation fault\n`)
    const silent = await reasonOfDeath(folder, old.length, 139)
    assert.equal(silent.code, 'hub.unreachable')
    assert.match(silent.fix ?? '', /hub\.log/)
  })
})

test('ports are numbers up to 65535', () => {
  for (const port of ['0', '7420', '65535']) assert.equal(checkPort(port), port)
  for (const port of ['', '-1', '65536', '1e3', '0x10', 'http', '7420 ']) assert.throws(() => checkPort(port), { code: 'request.invalid' })
})

test('a Hub elsewhere needs an address and a key', () => {
  assert.equal(remoteHub({}), undefined)
  assert.deepEqual(remoteHub({ AUTOVIBE_URL: 'http://h:1', AUTOVIBE_API_KEY: 'k' }), { url: 'http://h:1', key: 'k' })
  assert.throws(() => remoteHub({ AUTOVIBE_URL: 'http://h:1' }), { code: 'auth.missing' })
  assert.throws(() => remoteHub({ AUTOVIBE_URL: 'h' }), { code: 'request.invalid' })
})
