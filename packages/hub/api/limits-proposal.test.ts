/** Limits proposed by what runs used: of this project, of the last weeks, and never more than the host has. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { LimitsProposal, ProjectId } from '@autovibe/contract'
import { addBusy } from '@autovibe/core/limits/busy-times.ts'
import { limitsOfHost } from '@autovibe/core/limits/choose.ts'
import { CAPABILITIES } from './testing/capable-substrate.ts'
import { startTestApi } from './testing/test-api.ts'

const GIB = 1024 ** 3
const DAY_MS = 24 * 3_600_000
const api = await startTestApi()
after(() => api.close())

let number = 0
async function used(
  projectId: ProjectId,
  use: { readonly cores: number; readonly memory: number; readonly disk: number | null; readonly refused?: boolean; readonly daysAgo?: number },
): Promise<void> {
  number += 1
  const machine_id = await api.machine(projectId, `otter-${number}`)
  const run_id = await api.run(projectId, machine_id, 'succeeded')
  await api.db
    .insertInto('run_uses')
    .values({
      run_id,
      machine_id,
      project_id: projectId,
      limits: JSON.stringify(CAPABILITIES.defaultLimits),
      busy_ms: JSON.stringify(addBusy({}, use.cores, 600_000)),
      peak_memory_bytes: BigInt(use.memory),
      peak_disk_bytes: use.disk === null ? null : BigInt(use.disk),
      memory_refused: use.refused ?? false,
      updated_at: new Date(api.runtime.now().getTime() - (use.daysAgo ?? 0) * DAY_MS),
    })
    .execute()
}
const proposed = async (project: string) => (await api.call<LimitsProposal>('GET', `/v1/projects/${project}/limits/proposal`, { key: api.keys.user })).body

test('a project that nothing was seen of gets no proposal, and is told what it takes', async () => {
  await api.project('quiet')
  assert.deepEqual(await proposed('quiet'), { runs: 0, runs_needed: 3, seen_seconds: 0, seen_seconds_needed: 600, proposal: null })
  assert.equal((await api.call('GET', '/v1/projects/none/limits/proposal')).body.code, 'not_found')
})

test('runs of this project in the last 30 days count, and no others', async () => {
  const [shop, other] = [await api.project('shop'), await api.project('other')]
  for (let run = 0; run < 3; run++) await used(shop, { cores: 0.5, memory: GIB, disk: 2 * GIB })
  await used(other, { cores: 8, memory: 100 * GIB, disk: null })
  await used(shop, { cores: 8, memory: 100 * GIB, disk: null, daysAgo: 31 })
  const { runs, seen_seconds, proposal } = await proposed('shop')
  assert.deepEqual([runs, seen_seconds], [3, 1800])
  assert.deepEqual([proposal?.cores.now, proposal?.cores.proposed], [2, 0.75])
  assert.deepEqual([proposal?.memory_bytes.now, proposal?.memory_bytes.proposed, proposal?.disk_bytes?.proposed], [4 * GIB, 1.375 * GIB, 3 * GIB])
})

test('what the project has set is what it is now, and what the host gives by itself is the most', async () => {
  const big = await api.project('big')
  for (let run = 0; run < 3; run++) await used(big, { cores: 2, memory: 4 * GIB, disk: null, refused: true })
  await api.call('PUT', '/v1/projects/big/limits', { body: { cores: 1.5 } })
  const { proposal } = await proposed('big')
  assert.deepEqual([proposal?.cores.now, proposal?.cores.proposed, proposal?.memory_bytes.proposed, proposal?.disk_bytes], [1.5, 4, 8 * GIB, null])
  for (let run = 0; run < 20; run++) await used(big, { cores: 64, memory: 900 * GIB, disk: 900 * GIB })
  const given = limitsOfHost(CAPABILITIES.most)
  const most = (await proposed('big')).proposal
  assert.deepEqual(
    [most?.cores.proposed, most?.memory_bytes.proposed, most?.disk_bytes?.proposed],
    [CAPABILITIES.most.cores, given.memory_bytes, given.disk_bytes],
  )
  await api.call('PUT', '/v1/projects/big/limits', { body: { memory_bytes: 12 * GIB } })
  assert.equal((await proposed('big')).proposal?.memory_bytes.proposed, 12 * GIB, 'or what somebody gave on purpose')
})
