/** What Prometheus finds: the checkpoints of each project with what they take, and no key, no scrape. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { after, test } from 'node:test'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())

const scrape = async (): Promise<ReadonlyMap<string, number>> => {
  const { status, text, headers } = await api.call('GET', '/metrics', { key: api.keys.user })
  assert.equal(status, 200)
  assert.match(String(headers['content-type']), /^text\/plain; version=0\.0\.4/)
  const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(series.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]))
}

test('without a key nothing is told', async () => {
  assert.equal((await api.call('GET', '/metrics', { key: null })).status, 401)
})

test('checkpoints are counted by project and state, with what they hold, what the store has of it and what that takes', async () => {
  const project = await api.project('shop')
  const machine = await api.machine(project, 'm')
  const text = 'the same line, again and again\n'.repeat(400)
  await api.checkpoint(machine, { files: { 'project/a.txt': text, 'project/b.txt': text } })
  await api.checkpoint(machine, { files: { 'project/a.txt': text, 'project/b.txt': 'another' } })
  const series = await scrape()
  const of = (name: string): number => series.get(`autovibe_checkpoint_${name}{project="shop"}`) ?? Number.NaN
  assert.equal(series.get('autovibe_checkpoints{project="shop",state="verified"}'), 2)
  assert.equal(of('logical_bytes'), 3 * text.length + 'another'.length)
  assert.equal(of('unique_bytes'), text.length + 'another'.length)
  assert.ok(of('stored_bytes') > 0 && of('stored_bytes') < text.length)
  assert.equal(of('dedup_ratio'), of('logical_bytes') / of('unique_bytes'))
  assert.equal(of('compression_ratio'), of('unique_bytes') / of('stored_bytes'))
  assert.equal([...series.keys()].filter((name) => name.startsWith('autovibe_machines')).length, 1)
})

test('what is gone is not told any more', async () => {
  await api.db.updateTable('checkpoints').set({ state: 'expired' }).execute()
  assert.deepEqual(
    [...(await scrape()).keys()].filter((name) => name.includes('project="shop"')),
    [],
  )
})

test('the names of the figures are those that dashboards and alerts were written for', async (t: TestContext) => {
  const { text } = await api.call('GET', '/metrics')
  const told = text.split('\n').filter((line) => /^# (HELP|TYPE) autovibe_/.test(line))
  t.assert.fileSnapshot(`${told.join('\n')}\n`, new URL('metrics.golden.txt', import.meta.url).pathname, { serializers: [String] })
})
