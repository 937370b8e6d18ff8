import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { until } from '../support/until.ts'
import type { Fields } from './ask.ts'
import { backupLock } from './locks.ts'
import { type Stage, stage } from './stage.ts'

let at: Stage
const CONTENT = '/nodes/pve1/storage/pbs/content'
const VZDUMP: Fields = { vmid: '100', storage: 'pbs', mode: 'snapshot', 'notes-template': 'ours {{vmid}}', protected: 1 }
before(async () => {
  at = await stage({
    nodes: [{ name: 'pve1' }, { name: 'pve2' }],
    // Long enough to look at one that is under way.
    durations: { copyPerGib: 200 },
    storages: [
      { id: 'thin', type: 'lvmthin' },
      { id: 'pbs', type: 'pbs' },
      { id: 'small', type: 'dir', content: ['backup'], totalBytes: 1024 },
    ],
  })
  await at.create(100, 'thin')
})
after(() => at.close())

const listed = async (): Promise<{ volid: string; size: number; notes?: string; protected?: number }[]> => (await at.root.ask('GET', CONTENT)).data
const remove = (volid: string): Promise<string> => at.root.task('DELETE', `${CONTENT}/${encodeURIComponent(volid)}`)

test('a backup server lists a backup while it is made, of one byte and without notes, and holds the lock of its VM', async () => {
  const { data: upid } = await at.root.ask('POST', '/nodes/pve1/vzdump', VZDUMP)
  const [begun] = await until('it is listed', 10_000, async () => ((await listed()).length > 0 ? await listed() : undefined))
  assert.deepEqual([begun?.size, begun?.notes, at.pve.cluster.vms.get(100)?.lock], [1, undefined, 'backup'])
  assert.equal(await at.root.ended(upid), 'OK')
  const [whole] = await listed()
  assert.deepEqual([whole?.size, whole?.notes, whole?.protected], [1024 ** 3, 'ours 100', 1])
  assert.equal(at.pve.cluster.vms.get(100)?.lock, null)
})

test('what is protected is removed only after its protection was taken away', async () => {
  const [{ volid } = { volid: '' }] = await listed()
  assert.match(await remove(volid), /^cannot remove protected volume/)
  await at.root.ask('PUT', `${CONTENT}/${encodeURIComponent(volid)}`, { protected: 0 })
  assert.equal(await remove(volid), 'OK')
  assert.deepEqual(await listed(), [])
})

test('a VM of another node is silently left out', async () => {
  assert.equal((await at.root.ask('POST', '/nodes/pve2/vzdump', VZDUMP)).data, 'OK')
})

test('a backup that does not fit, or whose VM is locked, ends the job with an error and the reason in its log', async () => {
  for (const [fields, reason] of [
    [{ ...VZDUMP, storage: 'small' }, /No space left on device/],
    [VZDUMP, /VM is locked \(snapshot\)/],
  ] as const) {
    const vm = at.pve.cluster.vms.get(100)
    assert.ok(vm)
    vm.lock = fields.storage === 'small' ? null : 'snapshot'
    const { data: upid } = await at.root.ask('POST', '/nodes/pve1/vzdump', fields)
    assert.equal(await at.root.ended(upid), 'job errors')
    assert.match(at.pve.cluster.tasks.find(upid)?.log.join('\n') ?? '', reason)
    vm.lock = null
  }
})

test('one vzdump at a time on a node: the next waits for it, says so, and takes its turn; on another node none waits', async () => {
  assert.equal(await at.root.task('POST', '/nodes/pve2/qemu', { vmid: 101, memory: '512', scsi0: 'thin:1' }), 'OK')
  const log = (upid: string): string => at.pve.cluster.tasks.find(upid)?.log.join('\n') ?? ''
  const { data: first } = await at.root.ask('POST', '/nodes/pve1/vzdump', VZDUMP)
  await until('it has the lock', 10_000, async () => (at.pve.cluster.locks.pressure(backupLock('pve1')) > 0 ? true : undefined))
  const { data: second } = await at.root.ask('POST', '/nodes/pve1/vzdump', VZDUMP)
  const { data: elsewhere } = await at.root.ask('POST', '/nodes/pve2/vzdump', { ...VZDUMP, vmid: '101' })
  await until('the second waits', 10_000, async () => (/trying to get global lock - waiting/.test(log(second)) ? true : undefined))
  assert.equal(at.pve.cluster.tasks.find(first)?.running, true)
  for (const upid of [first, second, elsewhere]) assert.equal(await at.root.ended(upid), 'OK')
  assert.match(log(second), /got global lock/)
  assert.doesNotMatch(log(first) + log(elsewhere), /global lock/)
  for (const { volid } of await listed()) {
    await at.root.ask('PUT', `${CONTENT}/${encodeURIComponent(volid)}`, { protected: 0 })
    assert.equal(await remove(volid), 'OK')
  }
})

test('one that does not wait, or has waited in vain, exits without a last word; one that is stopped while it waits leaves at once', async () => {
  const { promise: done, resolve } = Promise.withResolvers<void>()
  const held = at.pve.cluster.locks.within(backupLock('pve1'), () => done)
  const log = (upid: string): string => at.pve.cluster.tasks.find(upid)?.log.join('\n') ?? ''
  const { data: impatient } = await at.root.ask('POST', '/nodes/pve1/vzdump', { ...VZDUMP, lockwait: 0 })
  assert.equal(await at.root.ended(impatient), 'unexpected status')
  assert.equal(log(impatient), "ERROR: can't acquire lock '/var/run/vzdump.lock' (wait = 0)")
  const { data: late } = await at.root.ask('POST', '/nodes/pve1/vzdump', { ...VZDUMP, lockwait: 1 })
  await until('it waits', 10_000, async () => (/waiting/.test(log(late)) ? true : undefined))
  at.pve.cluster.clock.pass(60)
  assert.equal(await at.root.ended(late), 'unexpected status')
  assert.match(log(late), /can't acquire lock '\/var\/run\/vzdump\.lock' - got timeout$/)
  const { data: stopped } = await at.root.ask('POST', '/nodes/pve1/vzdump', VZDUMP)
  await until('it waits', 10_000, async () => (/waiting/.test(log(stopped)) ? true : undefined))
  await at.root.ask('DELETE', `/nodes/pve1/tasks/${encodeURIComponent(stopped)}`)
  assert.equal(await at.root.ended(stopped), 'received interrupt')
  resolve()
  await held
})

test('a node that goes down in the middle leaves nothing on the server, and the lock on the VM', async () => {
  await at.root.ask('POST', '/nodes/pve1/vzdump', VZDUMP)
  await until('it is listed', 10_000, async () => ((await listed()).length > 0 ? true : undefined))
  await at.pve.crashNode('pve1')
  await at.pve.startNode('pve1')
  const { storages } = at.pve.cluster
  await until('the server has thrown it away', 10_000, async () => (storages.volumes(storages.get('pbs'), 'pve1').length === 0 ? true : undefined))
  assert.equal(at.pve.cluster.vms.get(100)?.lock, 'backup')
})
