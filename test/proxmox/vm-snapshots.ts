/** Snapshots of a VM: disks alone behind a frozen file system, or with the RAM; going back; removal. */
import { died, forbidden } from './answers.ts'
import { disksOfVm, freeze, startVm, stopVm, thaw } from './boot.ts'
import { type Call, type Endpoints, vmOf } from './call.ts'
import type { Snapshot, Vm } from './cluster.ts'
import { vmLock } from './locks.ts'
import type { Volume } from './storages.ts'
import { Vanished, type Worker } from './tasks.ts'
import { digestOf, disksOf, memoryMib, published } from './vm-config.ts'
import { startsLater } from './vm-power.ts'

export const VM_SNAPSHOTS: Endpoints = {
  'GET /nodes/{node}/qemu/{vmid}/snapshot': list,
  'POST /nodes/{node}/qemu/{vmid}/snapshot': create,
  'GET /nodes/{node}/qemu/{vmid}/snapshot/{snapname}': () => [{ cmd: 'rollback' }, { cmd: 'config' }],
  'GET /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config': config,
  'PUT /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config': describe,
  'DELETE /nodes/{node}/qemu/{vmid}/snapshot/{snapname}': remove,
  'POST /nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback': rollback,
}

const locked = <T>(call: Call, work: () => Promise<T>): Promise<T> =>
  call.cluster.locks.within(vmLock(call.node, Number(call.parameters.required('vmid'))), work)
const nameOf = (call: Call): string => call.parameters.required('snapname')

function snapshotOf(vm: Vm, name: string): Snapshot {
  const snapshot = vm.snapshots.get(name)
  if (!snapshot) throw died(`snapshot '${name}' does not exist`)
  return snapshot
}

function list(call: Call): unknown {
  const vm = vmOf(call)
  const items = [...vm.snapshots].map(([name, snapshot]) => ({
    name,
    snaptime: snapshot.takenAt,
    vmstate: snapshot.memory === null ? 0 : 1,
    description: snapshot.description,
    ...(snapshot.parent === null ? {} : { parent: snapshot.parent }),
    ...(snapshot.state === null ? {} : { snapstate: snapshot.state }),
  }))
  return [
    ...items,
    {
      name: 'current',
      description: 'You are here!',
      running: vm.pid === null ? 0 : 1,
      digest: digestOf(vm.config),
      ...(vm.parent === null ? {} : { parent: vm.parent }),
    },
  ]
}

function create(call: Call): string {
  const name = nameOf(call)
  if (name === 'current') throw died("unable to use snapshot name 'current' (reserved name)")
  if (name.toLowerCase() === 'pending') throw died("unable to use snapshot name 'pending' (reserved name)")
  vmOf(call)
  return call.start('qmsnapshot', call.parameters.required('vmid'), async (worker) => {
    const vm = await locked(call, async () => prepare(call, name))
    const snapshot = snapshotOf(vm, name)
    try {
      await take(call, vm, name, snapshot, worker)
    } catch (error) {
      if (!(error instanceof Vanished)) {
        worker.print('snapshot create failed: starting cleanup')
        vm.snapshots.delete(name)
        vm.lock = null
      }
      throw error
    }
    await locked(call, async () => {
      snapshot.state = null
      vm.parent = name
      vm.lock = null
    })
  })
}

function prepare(call: Call, name: string): Vm {
  const { cluster, parameters } = call
  const vm = vmOf(call)
  if (vm.config['template'] === '1') throw died("you can't take a snapshot if it's a template")
  cluster.unlocked(vm)
  if (vm.snapshots.has(name)) throw died(`snapshot name '${name}' already used`)
  if (!volumes(call, vm).every((volume) => cluster.storages.can('snapshot', volume))) throw died('snapshot feature is not available')
  const memory = parameters.flag('vmstate') && vm.pid !== null ? cluster.storages.newKey() : null
  vm.lock = 'snapshot'
  vm.snapshots.set(name, {
    config: { ...vm.config },
    takenAt: cluster.now(),
    description: parameters.text('description') ?? '',
    parent: vm.parent,
    memory,
    state: 'prepare',
  })
  return vm
}

/** File systems are frozen only when the RAM is not kept. */
async function take(call: Call, vm: Vm, name: string, snapshot: Snapshot, worker: Worker): Promise<void> {
  const { cluster } = call
  const running = vm.pid !== null
  if (snapshot.memory !== null) {
    worker.print(`saving VM state and RAM using storage '${volumes(call, vm)[0]?.storage ?? 'local'}'`)
    await worker.takes((memoryMib(vm.config) / 1024) * cluster.durations.memoryPerGib)
  }
  const frozen = running && snapshot.memory === null && (await freeze(cluster, vm, worker))
  try {
    for (const drive of disksOf(vm.config)) worker.print(`snapshotting '${drive.key}' (${drive.file})`)
    await worker.takes(cluster.durations.snapshot)
    await cluster.guests.snapshot({ vmid: vm.vmid, running, name, disks: disksOfVm(cluster, vm), memory: snapshot.memory })
  } finally {
    if (frozen) await thaw(cluster, vm)
  }
}

function volumes(call: Call, vm: Vm): Volume[] {
  return disksOf(vm.config).map((drive) => {
    const volume = call.cluster.storages.volume(drive.file, vm.node)
    if (!volume) throw died(`volume '${drive.file}' does not exist`)
    return volume
  })
}

function config(call: Call): unknown {
  const snapshot = snapshotOf(vmOf(call), nameOf(call))
  return {
    ...published(snapshot.config),
    snaptime: snapshot.takenAt,
    ...(snapshot.description === '' ? {} : { description: snapshot.description }),
    ...(snapshot.parent === null ? {} : { parent: snapshot.parent }),
    ...(snapshot.memory === null ? {} : { vmstate: snapshot.memory }),
    ...(snapshot.state === null ? {} : { snapstate: snapshot.state }),
  }
}

async function describe(call: Call): Promise<void> {
  const name = nameOf(call)
  await locked(call, async () => {
    const vm = vmOf(call)
    call.cluster.unlocked(vm)
    vm.snapshots.set(name, { ...snapshotOf(vm, name), description: call.parameters.text('description') ?? '' })
  })
}

function rollback(call: Call): string {
  const { cluster, access, who } = call
  const name = nameOf(call)
  const vmid = Number(call.parameters.required('vmid'))
  if (call.parameters.flag('start') && !access.may(who, `/vms/${vmid}`, ['VM.PowerMgmt'])) throw forbidden(`/vms/${vmid}, VM.PowerMgmt`)
  return call.start('qmrollback', vmid, async (worker) => {
    const vm = await locked(call, async () => {
      const each = vmOf(call)
      const snapshot = rollbackPossible(call, each, name)
      cluster.unlocked(each)
      await stopVm(cluster, each)
      if (snapshot.state !== null) throw died(`unable to rollback to incomplete snapshot (snapstate = ${snapshot.state})`)
      each.lock = 'rollback'
      return each
    })
    for (const drive of disksOf(snapshotOf(vm, name).config)) worker.print(`rolling back drive ${drive.key} (${drive.file})`)
    await worker.takes(cluster.durations.snapshot)
    await cluster.guests.rollback(vmid, name, disksOfVm(cluster, vm))
    await locked(call, async () => {
      const snapshot = snapshotOf(vm, name)
      vm.config = { ...snapshot.config }
      vm.pending = {}
      vm.parent = name
      vm.lock = null
      if (snapshot.memory !== null) await startVm(cluster, vm, worker, snapshot.memory)
    })
    if (call.parameters.flag('start') && vm.pid === null) startsLater(call, vm)
  })
}

/** ZFS goes back to its newest snapshot only. */
function rollbackPossible(call: Call, vm: Vm, name: string): Snapshot {
  if (vm.config['template'] === '1') throw died("you can't rollback if vm is a template")
  const snapshot = snapshotOf(vm, name)
  const names = [...vm.snapshots.keys()]
  for (const volume of volumes(call, vm)) {
    const onlyNewest = call.cluster.storages.get(volume.storage).type === 'zfspool'
    if (onlyNewest && names.indexOf(name) < names.length - 1) throw died(`can't rollback, '${name}' is not most recent snapshot on '${volume.volid}'`)
  }
  return snapshot
}

function remove(call: Call): string {
  const { cluster } = call
  const name = nameOf(call)
  return call.start('qmdelsnapshot', call.parameters.required('vmid'), async (worker) => {
    const vm = await locked(call, async () => {
      const each = vmOf(call)
      const snapshot = snapshotOf(each, name)
      cluster.unlocked(each)
      if (each.config['template'] === '1') throw died("you can't delete a snapshot if vm is a template")
      each.lock = 'snapshot-delete'
      snapshot.state = 'delete'
      return each
    })
    const { memory, parent } = snapshotOf(vm, name)
    await worker.takes(cluster.durations.snapshot)
    for (const volume of volumes(call, vm)) cluster.storages.unprotected(volume, name)
    await cluster.guests.deleteSnapshot({ vmid: vm.vmid, running: vm.pid !== null, name, disks: disksOfVm(cluster, vm), memory })
    await locked(call, async () => {
      if (vm.parent === name) vm.parent = parent
      for (const [other, snapshot] of vm.snapshots) if (snapshot.parent === name) vm.snapshots.set(other, { ...snapshot, parent })
      vm.snapshots.delete(name)
      vm.lock = null
    })
  })
}
