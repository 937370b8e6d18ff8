import assert from 'node:assert/strict'
import test from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { problem, startTestHub } from './testing.ts'

const HEAD = { type: 'diff', checkpoint_id: 'ckp_b', against_id: 'ckp_a', source_commit: null, source_base_commit: null }
const file = (path: string) => ({ type: 'file', path, patch: `é${'x'.repeat(1000)}` })
const END = { type: 'end', files: 2, ignored: 0, added_lines: 1, removed_lines: 1, renames_limited: false }
const asLines = (...values: object[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join('')
const withCode = (code: string) => (thrown: unknown) => thrown instanceof AutovibeError && thrown.code === code

test('a difference is its head, then each file as it comes, then the totals, wherever the pieces end', async () => {
  const bytes = Buffer.from(asLines(HEAD, file('a'), { type: 'news' }, file('b'), END))
  await using hub = await startTestHub((_asked, response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    for (let at = 0; at < bytes.length; at += 7) response.write(bytes.subarray(at, at + 7))
    response.end()
  })
  const { files, ...head } = await hub.client.checkpoints.diff('ckp_b', { detail: 'text', renames: false })
  const paths: string[] = []
  let next = await files.next()
  for (; !next.done; next = await files.next()) {
    paths.push(next.value.path)
    assert.equal(next.value.patch?.[0], 'é')
  }
  const [{ type: _, ...expectedHead }, { type: _end, ...totals }] = [HEAD, END]
  assert.deepEqual([head, paths, next.value], [expectedHead, ['a', 'b'], totals])
  assert.deepEqual([hub.asked[0]?.url.search, hub.asked[0]?.headers.accept], ['?detail=text&renames=false', 'application/x-ndjson'])
})

test('a difference that ends without its end broke off, and one that ends with a problem fails with it', async () => {
  let said = asLines(HEAD, file('a'))
  await using hub = await startTestHub((_asked, response) => response.end(said))
  const all = async () => Array.fromAsync((await hub.client.checkpoints.diff('ckp_b')).files)
  await assert.rejects(all, withCode('hub.unreachable'))
  said = asLines(HEAD, file('a')).slice(0, -20)
  await assert.rejects(all, withCode('hub.unreachable'))
  said = ''
  await assert.rejects(all, withCode('hub.unreachable'))
  said = asLines(HEAD, file('a'), { type: 'problem', problem: problem('checkpoint.corrupt', 500) })
  await assert.rejects(all, withCode('checkpoint.corrupt'))
  hub.answer = (_asked, response) => {
    response.write(asLines(HEAD, file('a')), () => response.destroy())
  }
  await assert.rejects(all, withCode('hub.unreachable'))
})

test('whoever stops reading leaves the Hub', async () => {
  const { promise: left, resolve } = Promise.withResolvers<void>()
  await using hub = await startTestHub((_asked, response) => {
    response.once('close', resolve)
    response.write(asLines(HEAD, file('a')))
  })
  for await (const _ of (await hub.client.checkpoints.diff('ckp_b')).files) break
  await left
})
