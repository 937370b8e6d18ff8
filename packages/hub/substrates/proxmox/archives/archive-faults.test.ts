/** Archives among failures of Proxmox: whatever goes wrong, no half copy is left, none is made twice, and the machine is as it was. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { MachineId } from '@autovibe/contract'
import { seededFaults } from '../../../../../test/proxmox/faults.ts'
import { seeds } from '../../../../../test/support/seeds.ts'
import { until } from '../../../../../test/support/until.ts'
import { type ArchiveStage, copyTasks, openReadyStage } from './test-stage.ts'

const VZDUMP = 'POST /nodes/{node}/vzdump'
/** `npm run soak -- archives` plays more. */
const SEEDS = seeds(4, 1)

let stage: ArchiveStage
let machineId: MachineId
let vmid = 0
before(async () => {
  ;({ stage, machineId, vmid } = await openReadyStage())
})
after(() => stage.close())

/** One archive was made of it, or none, and nothing lies there beside. */
async function assertWhole(archiveId: Awaited<ReturnType<ArchiveStage['ask']>>, state: 'stored' | 'failed'): Promise<void> {
  const row = await stage.row(archiveId)
  assert.equal(row.state, state, row.state_reason ?? '')
  assert.deepEqual(
    stage.volumes().map(({ volid }) => volid),
    state === 'stored' ? [row.volume] : [],
  )
  assert.equal(stage.cluster.pve.cluster.vms.get(vmid)?.lock, null)
  stage.cluster.pve.setFaults(null)
  if (state === 'stored') await stage.remove(archiveId)
  assert.deepEqual(stage.volumes(), [])
}

test('a lost answer of vzdump leads to its task, and no second one is begun', async () => {
  const before = copyTasks(stage, vmid).length
  stage.once(VZDUMP, { kind: 'reset', when: 'after' })
  const archiveId = await stage.archive(machineId)
  assert.equal(copyTasks(stage, vmid).length, before + 1)
  await assertWhole(archiveId, 'stored')
})

test('a task that vanishes after its work leaves a copy that nobody vouches for: it goes, and another is made', async () => {
  stage.once(VZDUMP, { kind: 'task vanishes', when: 'after', log: 'gone' })
  await assertWhole(await stage.archive(machineId), 'stored')
})

test('a task that fails in the middle undoes the archive', async () => {
  stage.once(VZDUMP, { kind: 'task', when: 'after', exit: 'received interrupt' })
  await assertWhole(await stage.archive(machineId), 'failed')
})

test('a lock that somebody holds is waited out', async () => {
  stage.once(VZDUMP, { kind: 'task', when: 'before', exit: "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout" })
  await assertWhole(await stage.archive(machineId), 'stored')
})

test('a storage that is full is said to be full, with what makes room', async () => {
  const { storages } = stage.cluster.pve.cluster
  const storage = storages.get('archives')
  storages.add({ ...storage, totalBytes: 1024 })
  const archiveId = await stage.archive(machineId)
  storages.add(storage)
  const { state, error } = await stage.ended('archive-machine')
  assert.deepEqual([state, error?.code], ['failed', 'substrate.disk_full'])
  assert.match(error?.fix ?? '', /autovibe machine remove-archive/)
  await assertWhole(archiveId, 'failed')
})

test('one whose notes Proxmox could not write gets them from us', async () => {
  stage.cluster.pve.setFaults(({ method, template, parameters }) => {
    if (`${method} ${template}` === VZDUMP) delete (parameters as Record<string, unknown>)['notes-template']
    return null
  })
  const archiveId = await stage.archive(machineId)
  assert.match(stage.volumes()[0]?.notes ?? '', new RegExp(archiveId))
  await assertWhole(archiveId, 'stored')
})

test('a cancel breaks the copy off', async () => {
  const { db } = stage.world.database
  const archiveId = await stage.ask(machineId)
  const settling = stage.life.settle()
  await until('the copy is listed', 20_000, async () => (stage.volumes().length > 0 ? true : undefined))
  const { id } = await db.selectFrom('operations').select('id').where('kind', '=', 'archive-machine').where('ended_at', 'is', null).executeTakeFirstOrThrow()
  await db.transaction().execute((tx) => stage.world.requests.cancelOperation(tx, id))
  await settling
  await assertWhole(archiveId, 'failed')
})

for (let seed = SEEDS.first; seed < SEEDS.first + SEEDS.count; seed++) {
  test(`archives among failures of Proxmox (seed ${seed}) are whole or not there`, async () => {
    const faults = seededFaults({ seed, rate: 0.2, most: 4, spare: ({ who }) => who?.startsWith('autovibe@pve') !== true })
    stage.cluster.pve.setFaults(faults.hook)
    const archiveId = await stage.archive(machineId)
    stage.cluster.pve.setFaults(null)
    const { state } = await stage.row(archiveId)
    assert.ok(state === 'stored' || state === 'failed', `${state}: ${JSON.stringify(faults.met)}`)
    // What landed late goes at a look.
    await stage.world.ports.substrate.archives?.look(AbortSignal.timeout(30_000))
    await assertWhole(archiveId, state)
  })
}

test('a machine whose VM goes while it is copied breaks the copy off, because nobody could remove it afterwards', async () => {
  const archiveId = await stage.ask(machineId)
  const settling = stage.life.settle()
  await until('the copy is listed', 20_000, async () => (stage.volumes().length > 0 ? true : undefined))
  await stage.world.ports.substrate.destroy(machineId, AbortSignal.timeout(20_000))
  await settling
  assert.deepEqual(stage.volumes(), [])
  assert.equal((await stage.row(archiveId)).state, 'failed')
  // At once, or when the store has the trees that lie on it alone.
  await until('the VM is gone', 20_000, async () => {
    await stage.world.ports.substrate.list(AbortSignal.timeout(20_000))
    return stage.cluster.pve.cluster.vms.has(vmid) ? undefined : true
  })
})
