import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import type { MachineArchiveId, MachineId } from '@autovibe/contract'
import { archiveNotes } from '@autovibe/core/proxmox/archive-notes.ts'
import { SandboxGuests } from '../../../../../test/proxmox/sandbox-guests.ts'
import { damagedArchives } from '../../../damaged-archives.ts'
import { healthOf } from '../../../health.ts'
import { silentLog } from '../../../operations/engine/testing.ts'
import { lookAtArchives } from '../../../scheduler/archive-looks.ts'
import { HUB_ID } from '../test-cluster.ts'
import { type ArchiveStage, openReadyStage } from './test-stage.ts'

let stage: ArchiveStage
let machineId: MachineId
let vmid = 0
before(async () => {
  ;({ stage, machineId, vmid } = await openReadyStage())
})
after(() => stage.close())

const look = (): Promise<void> => lookAtArchives(stage.world.ports, silentLog)
const checked = async (archiveId: MachineArchiveId): Promise<unknown[]> => {
  const rows = await stage.world.database.db.selectFrom('events').select('data').where('type', '=', 'archive.checked').orderBy('seq').execute()
  return rows.flatMap(({ data }) => (data['archive'] === archiveId ? [[data['verification'], data['missing']]] : []))
}
const health = () => damagedArchives(stage.world.database.pool)

test('an archive of a machine that works contains a frozen tree, which its notes name, and is protected', async () => {
  const archiveId = await stage.archive(machineId)
  const row = await stage.row(archiveId)
  assert.deepEqual([row.state, row.verification, row.missing, row.storage], ['stored', 'pending', false, 'archives'])
  const [volume] = stage.volumes()
  assert.deepEqual([volume?.volid, volume?.protected, volume?.vmid], [row.volume, true, vmid])
  assert.equal(volume?.notes, archiveNotes({ archiveId, machineId, checkpointId: row.checkpoint_id, hubId: HUB_ID }))
  assert.equal(Number(row.size_bytes), volume?.disk.sizeBytes)
  const [disk] = Object.values(volume?.backup?.disks ?? {})
  assert.ok(disk)
  const { guests } = stage.cluster
  assert.ok(guests instanceof SandboxGuests)
  const files = await readdir(guests.folder(disk), { recursive: true })
  assert.ok(
    files.some((path) => path.split('/').at(-1) === row.checkpoint_id && !path.includes('/project/')),
    'the tree lies frozen on the disk of the copy',
  )
})

test('while the whole VM is copied, the machine takes checkpoints without a snapshot of the VM, and lets them go', async () => {
  const vm = stage.cluster.pve.cluster.vms.get(vmid)
  assert.ok(vm)
  vm.lock = 'backup'
  const { substrate } = stage.world.ports
  const meanwhile = stage.world.clock.newId('checkpoint')
  await substrate.snapshot(machineId, meanwhile, AbortSignal.timeout(20_000))
  const { in_vm } = await stage.world.database.db
    .selectFrom('proxmox_snapshots')
    .select('in_vm')
    .where('checkpoint_id', '=', meanwhile)
    .executeTakeFirstOrThrow()
  assert.equal(in_vm, false)
  await substrate.dropSnapshot(meanwhile, AbortSignal.timeout(20_000))
  vm.lock = null
})

test('while it is copied, a fork of it comes out of the store, because Proxmox clones nothing of it', async () => {
  const vm = stage.cluster.pve.cluster.vms.get(vmid)
  assert.ok(vm)
  const { substrate } = stage.world.ports
  const { db } = stage.world.database
  const { checkpoint_id: from } = await db.selectFrom('machine_archives').select('checkpoint_id').where('machine_id', '=', machineId).executeTakeFirstOrThrow()
  const fork = stage.world.clock.newId('machine')
  vm.lock = 'backup'
  await substrate.create({ machineId: fork, name: 'fork', from, token: 'token' }, AbortSignal.timeout(20_000))
  vm.lock = null
  const { source_vmid } = await db.selectFrom('proxmox_vms').select('source_vmid').where('machine_id', '=', fork).executeTakeFirstOrThrow()
  assert.notEqual(source_vmid, vmid)
  await substrate.destroy(fork, AbortSignal.timeout(20_000))
})

test('what the backup server says of it is told once when it changes, and a damaged one makes the Hub not well', async () => {
  const [volume] = stage.volumes()
  assert.ok(volume)
  const archiveId = /arc_\w+/.exec(volume.notes ?? '')?.[0] as MachineArchiveId
  await look()
  assert.deepEqual([await checked(archiveId), await health()], [[], { name: 'archives', ok: true, detail: 'none is damaged' }])
  volume.verification = { state: 'ok', upid: 'UPID:pbs:1' }
  await look()
  await look()
  assert.deepEqual(await checked(archiveId), [['ok', false]])
  volume.verification = { state: 'failed', upid: 'UPID:pbs:2' }
  await look()
  assert.deepEqual((await checked(archiveId)).at(-1), ['failed', false])
  assert.deepEqual(await health(), { name: 'archives', ok: false, detail: `1 damaged, the newest ${archiveId}` })
  await stage.remove(archiveId)
  assert.deepEqual([(await stage.row(archiveId)).state, stage.volumes(), await health()], ['removed', [], null])
})

test('a storage that cannot be listed is told with the age of the last look, until it can be again, and nothing on it is said to be missing', async () => {
  const archiveId = await stage.archive(machineId)
  await look()
  const before = await stage.row(archiveId)
  const healthy = async () => (await healthOf(stage.world.database.pool, stage.world.ports.substrate, '1.0.0', new Date(0))()).checks
  assert.ok((await healthy()).every(({ ok }) => ok))
  stage.cluster.pve.setFaults(({ method, template }) =>
    method === 'GET' && template === '/nodes/{node}/storage/{storage}/content'
      ? { kind: 'answer', when: 'before', status: 500, reason: "proxmox-backup: 500 Can't connect" }
      : null,
  )
  await look()
  stage.cluster.pve.setFaults(null)
  const [told] = stage.world.ports.substrate.archives?.unlisted ?? []
  assert.deepEqual([told?.storage, told?.listedAt], ['archives', before.looked_at])
  const check = (await healthy()).find(({ ok }) => !ok)
  assert.equal(check?.name, 'archive storages')
  assert.match(check?.detail ?? '', /^archives cannot be listed, last looked at \d+ min ago: .*Can't connect/)
  assert.equal((await stage.row(archiveId)).missing, false)
  await look()
  assert.ok((await healthy()).every(({ ok }) => ok))
  await stage.remove(archiveId)
})

test('more than the newest three go, and nothing that is not ours', async () => {
  // By hand and by a rule of the cluster, the second with notes that are nearly ours.
  for (const notes of ['by hand', `autovibe archive ${'arc_00000000000000000000000000'} of somebody else`])
    assert.equal(
      await stage.root.task('POST', `/nodes/${nodeOf()}/vzdump`, { vmid: String(vmid), storage: 'archives', mode: 'snapshot', 'notes-template': notes }),
      'OK',
    )
  const foreign = stage.volumes().map(({ volid }) => volid)
  const ids: MachineArchiveId[] = []
  for (let count = 0; count < 4; count += 1) ids.push(await stage.archive(machineId))
  const rows = await Promise.all(ids.map((id) => stage.row(id)))
  assert.deepEqual(
    rows.map(({ state }) => state),
    ['removed', 'stored', 'stored', 'stored'],
  )
  assert.deepEqual(
    stage
      .volumes()
      .map(({ volid }) => volid)
      .sort(),
    [...foreign, ...rows.slice(1).map(({ volume }) => volume ?? '')].sort(),
  )
  for (const id of ids.slice(1)) await stage.remove(id)
  assert.deepEqual(
    stage.volumes().map(({ volid }) => volid),
    foreign,
  )
})

test('one whose notes somebody has changed is left alone and said to be missing, and comes back with its notes', async () => {
  const archiveId = await stage.archive(machineId)
  const volume = stage.volumes().at(-1)
  assert.ok(volume)
  const { notes } = volume
  volume.notes = 'do not touch'
  await look()
  assert.deepEqual([(await stage.row(archiveId)).missing, (await health())?.ok], [true, false])
  await stage.remove(archiveId)
  const { state, state_reason } = await stage.row(archiveId)
  assert.equal(state, 'stored')
  assert.match(state_reason ?? '', /left alone/)
  assert.ok(stage.volumes().includes(volume))
  if (notes !== undefined) volume.notes = notes
  await look()
  assert.equal((await stage.row(archiveId)).missing, false)
  await stage.remove(archiveId)
  assert.equal((await stage.row(archiveId)).state, 'removed')
})

test('a machine that is stopped is archived with its newest checkpoint', async () => {
  await stage.world.database.db.transaction().execute((tx) => stage.world.requests.stopMachine(tx, machineId))
  await stage.life.settle()
  const archiveId = await stage.archive(machineId)
  const newest = await stage.world.database.db
    .selectFrom('checkpoints')
    .select('id')
    .where('machine_id', '=', machineId)
    .orderBy('id', 'desc')
    .executeTakeFirst()
  const row = await stage.row(archiveId)
  assert.deepEqual([row.state, row.checkpoint_id], ['stored', newest?.id])
  await stage.world.database.db.transaction().execute((tx) => stage.world.requests.startMachine(tx, machineId))
  await stage.life.settle()
})

test('an archive outlives its machine: it keeps its number and what is known of it, and goes when an administrator lets the token see it again', async () => {
  const [stored] = await stage.world.database.db.selectFrom('machine_archives').selectAll().where('state', '=', 'stored').execute()
  assert.ok(stored)
  await stage.world.database.db.transaction().execute((tx) => stage.world.requests.destroyMachine(tx, machineId))
  await stage.life.settle()
  assert.equal(stage.cluster.pve.cluster.vms.has(vmid), false)
  await look()
  assert.deepEqual([(await stage.row(stored.id)).missing, (await stage.vmidOf(await stage.readyMachine())) === vmid], [false, false])
  if (stage.cluster.pve.descriptionFile === null) return
  await stage.remove(stored.id)
  const { error } = await stage.ended('remove-archive')
  const lines = /: (pveum .*)\. Then/.exec(error?.fix ?? '')?.[1]?.split(' && ') ?? []
  assert.equal(lines.length, 2)
  for (const line of lines) await stage.cluster.pve.pveum(line)
  await stage.remove(stored.id)
  assert.equal((await stage.row(stored.id)).state, 'removed')
  assert.ok(stage.volumes().every(({ volid }) => volid !== stored.volume))
})

const nodeOf = (): string => stage.cluster.pve.cluster.vms.get(vmid)?.node ?? ''
