import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../support/until.ts'
import { expectOk, stage } from './stage.ts'

test('the list of the cluster knows a new VM by its number and tags only, and lags behind what a VM does', async () => {
  const at = await stage({ secondMs: 50, durations: { start: 0, other: 0 }, storages: [{ id: 'thin', type: 'lvmthin' }] })
  try {
    const seen = async (): Promise<{ status: string; name?: string; tags?: string } | undefined> =>
      (await at.root.get('/cluster/resources', { type: 'vm' })).data.find((each: { vmid: number }) => each.vmid === 100)
    await at.create(100, 'thin', { tags: 'autovibe' })
    // The list may have been told in between; then it knows everything.
    const young = await seen()
    assert.equal(young?.tags, 'autovibe')
    assert.equal(young?.name === undefined, young?.status === 'unknown')
    await until('the list knows the VM', 10_000, async () => ((await seen())?.name === 'vm-100' ? true : undefined))
    expectOk(await at.root.task('POST', '/nodes/pve1/qemu/100/status/start'))
    assert.equal((await at.root.get('/nodes/pve1/qemu/100/status/current')).data.status, 'running')
    await until('the list knows that it runs', 10_000, async () => ((await seen())?.status === 'running' ? true : undefined))
  } finally {
    await at.close()
  }
})

test('between two rounds nothing new is told, unless rounds are switched off', async () => {
  const slow = await stage({ secondMs: 100_000, durations: { start: 0, other: 0 } })
  const live = await stage({ broadcastEveryS: 0 })
  for (const [at, told] of [
    [slow, [undefined, 'unknown']],
    [live, ['vm-100', 'stopped']],
  ] as const) {
    try {
      at.pve.cluster.putVm(100, 'pve1', { name: 'vm-100' }, null)
      const { data } = await at.root.get('/cluster/resources', { type: 'vm' })
      assert.deepEqual([data[0].name, data[0].status], told)
    } finally {
      await at.close()
    }
  }
})
