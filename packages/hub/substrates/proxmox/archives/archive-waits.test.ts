/** Archives that others are in the way of: locks are waited for, said and in the end told of; a storage that takes its time holds nobody else up. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import type { CheckpointId, MachineArchiveId, MachineId } from '@autovibe/contract'
import { backupLock } from '../../../../../test/proxmox/locks.ts'
import { until } from '../../../../../test/support/until.ts'
import { readOperation } from '../../../api/read/operations.ts'
import { type ArchiveStage, copyTasks, openReadyStage } from './test-stage.ts'

const PATIENCE_MS = 20_000
let stage: ArchiveStage
let machineId: MachineId
let vmid = 0
before(async () => {
  ;({ stage, machineId, vmid } = await openReadyStage())
})
after(() => stage.close())
beforeEach(() => lockVm(null))

function lockVm(lock: string | null): void {
  const vm = stage.cluster.pve.cluster.vms.get(vmid)
  assert.ok(vm)
  vm.lock = lock
}

const operation = () =>
  stage.world.database.db
    .selectFrom('operations')
    .select(['id', 'handle'])
    .where('kind', '=', 'archive-machine')
    .orderBy('id', 'desc')
    .executeTakeFirstOrThrow()
const waitsFor = async () => (await readOperation(stage.world.database.db, (await operation()).id)).waits_for
const metMs = async (): Promise<number> => Number((await operation()).handle?.['locked_met_ms'] ?? 0)
/** The lock was met again since then. */
const metSince = (ms: number) => until('the lock is met', PATIENCE_MS, async () => ((await metMs()) > ms ? true : undefined))

test('a VM that somebody else has locked is waited for without a single task, which the operation says, and then copied', async () => {
  const before = copyTasks(stage, vmid).length
  lockVm('migrate')
  const archiveId = await stage.ask(machineId)
  const settling = stage.life.settle()
  await metSince(0)
  assert.match((await waitsFor()) ?? '', /VM \d+: it is locked \(migrate\) by somebody else's task\. It is waited for since \S+Z, for 30 minutes at most\./)
  assert.equal(copyTasks(stage, vmid).length, before)
  lockVm(null)
  await stage.life.shift(121_000)
  await settling
  assert.deepEqual([(await stage.row(archiveId)).state, await waitsFor(), copyTasks(stage, vmid).length], ['stored', null, before + 1])
  await stage.remove(archiveId)
})

test('one that stays locked fails after half an hour, with what takes the lock away', async () => {
  lockVm('backup')
  const archiveId = await stage.ask(machineId)
  const settling = stage.life.settle()
  await metSince(0)
  for (let count = 0; count < 3; count += 1) {
    const sinceMs = stage.world.clock.now().getTime()
    await stage.life.shift(11 * 60_000)
    if (count < 2) await metSince(sinceMs)
  }
  await settling
  const { state, state_reason, fix } = await stage.row(archiveId)
  assert.equal(state, 'failed')
  assert.match(state_reason ?? '', /it is locked \(backup\) .* It was waited for for 30 minutes\.$/)
  assert.match(fix ?? '', /qm unlock \d+/)
  await stage.remove(archiveId)
  assert.equal((await stage.row(archiveId)).state, 'removed')
})

test('behind another backup of its node it waits for its turn, and says so; a task that gave its turn up is asked for again', async () => {
  const { clock, locks, vms } = stage.cluster.pve.cluster
  const { promise: done, resolve } = Promise.withResolvers<void>()
  const held = locks.within(backupLock(vms.get(vmid)?.node ?? ''), () => done)
  const archiveId = await stage.ask(machineId)
  const settling = stage.life.settle()
  await until('it says so', PATIENCE_MS, async () => (/^Another backup runs on pve\d/.test((await waitsFor()) ?? '') ? true : undefined))
  // As long as Proxmox lets a task wait.
  clock.pass(181 * 60)
  await until('it has given up', PATIENCE_MS, async () => (/can't acquire lock '\/var\/run\/vzdump\.lock'/.test((await waitsFor()) ?? '') ? true : undefined))
  resolve()
  await held
  await settling
  assert.equal((await stage.row(archiveId)).state, 'stored')
  await stage.remove(archiveId)
})

test('a storage that takes its time to remove an archive does not hold its machine up', async () => {
  const archiveId: MachineArchiveId = await stage.archive(machineId)
  const { checkpoint_id: checkpointId } = await stage.row(archiveId)
  const { substrate } = stage.world.ports
  const { promise: asked, resolve } = Promise.withResolvers<void>()
  stage.cluster.pve.setFaults(({ method, template }) => {
    if (method !== 'DELETE' || !template.endsWith('/content/{volume}')) return null
    resolve()
    return { kind: 'silence', when: 'before' }
  })
  const ends = new AbortController()
  const removing = assert.rejects(async () => substrate.archives?.remove({ archiveId, machineId, checkpointId }, ends.signal))
  await asked
  const meanwhile: CheckpointId = stage.world.clock.newId('checkpoint')
  await substrate.snapshot(machineId, meanwhile, AbortSignal.timeout(PATIENCE_MS))
  await substrate.dropSnapshot(meanwhile, AbortSignal.timeout(PATIENCE_MS))
  assert.equal(stage.volumes().length, 1)
  ends.abort()
  await removing
  stage.cluster.pve.setFaults(null)
  await stage.remove(archiveId)
  assert.deepEqual(stage.volumes(), [])
})
