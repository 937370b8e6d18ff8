import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../support/until.ts'
import { scaledClock } from './clock.ts'
import { Locks, storageLock, vmLock } from './locks.ts'
import { expectOk, stage } from './stage.ts'

const gate = (): { promise: Promise<void>; open: () => void } => {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { promise, open: resolve }
}

test('an exclusive lock is waited for, and lost with Proxmox’s words', async () => {
  const locks = new Locks(scaledClock(1))
  const { promise, open } = gate()
  const holder = locks.within(vmLock('pve1', 100), () => promise)
  await assert.rejects(
    locks.within(vmLock('pve1', 100), async () => undefined),
    { message: "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout" },
  )
  await locks.within(vmLock('pve2', 100), async () => undefined)
  open()
  await holder
  await locks.within(vmLock('pve1', 100), async () => undefined)
  assert.equal(locks.pressure(vmLock('pve1', 100)), 0)
})

test('a shared lock is shared, and keeps an exclusive one out', async () => {
  const locks = new Locks(scaledClock(1))
  const { promise, open } = gate()
  const first = locks.within('a', () => promise, { shared: true })
  await locks.within('a', async () => undefined, { shared: true })
  await assert.rejects(locks.within('a', async () => undefined))
  open()
  await first
})

test('the lock of a shared storage is the cluster’s, and says so', async () => {
  const locks = new Locks(scaledClock(1))
  const { promise, open } = gate()
  const name = storageLock('pve1', 'ceph', true)
  assert.equal(name, storageLock('pve2', 'ceph', true))
  const holder = locks.within(name, () => promise)
  await assert.rejects(
    locks.within(name, async () => undefined),
    { message: "cfs-lock 'storage-ceph' error: got lock request timeout" },
  )
  open()
  await holder
})

test('many clones of one template at once meet the storage’s lock, and those that waited too long leave nothing behind', async () => {
  const at = await stage({ durations: { linkedClone: 4 }, storages: [{ id: 'thin', type: 'lvmthin' }] })
  try {
    await at.create(9000, 'thin')
    expectOk(await at.root.task('POST', '/nodes/pve1/qemu/9000/template'))
    const numbers = Array.from({ length: 8 }, (_, index) => 200 + index)
    const ends = await Promise.all(numbers.map((newid) => at.root.task('POST', '/nodes/pve1/qemu/9000/clone', { newid })))
    const done = ends.filter((end) => end === 'OK').length
    assert.ok(done >= 1 && done < numbers.length, `${done} of ${numbers.length} clones were made`)
    for (const [index, end] of ends.entries()) {
      const vm = at.pve.cluster.vms.get(numbers[index] ?? 0)
      if (end === 'OK') assert.ok(vm)
      else {
        assert.equal(end, "clone failed: can't lock file '/var/lock/pve-manager/pve-storage-thin' - got timeout")
        assert.equal(vm, undefined, 'a failed clone leaves no VM')
      }
    }
    assert.equal(at.pve.cluster.storages.volumes(at.pve.cluster.storages.get('thin'), 'pve1').filter((volume) => volume.parent !== null).length, done)
  } finally {
    await at.close()
  }
})

test('a VM that is being cloned into is locked for everything else', async () => {
  const at = await stage({ durations: { copyPerGib: 200 }, storages: [{ id: 'thin', type: 'lvmthin' }] })
  try {
    await at.create(100, 'thin')
    const { data: upid } = await at.root.post('/nodes/pve1/qemu/100/clone', { newid: 101, full: 1 })
    await until('the clone is there', 10_000, async () =>
      (await at.root.get('/nodes/pve1/qemu/101/status/current')).data?.lock === 'clone' ? true : undefined,
    )
    assert.equal((await at.root.ask('PUT', '/nodes/pve1/qemu/101/config', { name: 'x' })).reason, 'VM is locked (clone)')
    assert.match(
      await at.root.task('POST', '/nodes/pve1/qemu/101/status/start'),
      /^can't lock file '\/var\/lock\/qemu-server\/lock-101.conf' - got timeout$|^VM is locked \(clone\)$/,
    )
    await at.root.ask('DELETE', `/nodes/pve1/tasks/${encodeURIComponent(upid)}`)
    assert.equal(await at.root.ended(upid), 'clone failed: received interrupt')
    assert.equal((await at.root.get('/nodes/pve1/qemu/101/config')).status, 500)
  } finally {
    await at.close()
  }
})
