/** Migration of a VM to another node, and its backup. */
import { badParameters, died, forbidden, listOf, textOf } from './answers.ts'
import { diskOf, freeze, thaw } from './boot.ts'
import { type Call, type Endpoints, onlyRoot, vmOf } from './call.ts'
import type { Vm } from './cluster.ts'
import type { Disk } from './guests.ts'
import { vmLock } from './locks.ts'
import type { Volume } from './storages.ts'
import { Vanished, type Worker } from './tasks.ts'
import { disksOf } from './vm-config.ts'
import { volumesOf } from './vm-update.ts'

const GIB = 1024 ** 3

export const VM_MOVE: Endpoints = {
  'GET /nodes/{node}/qemu/{vmid}/migrate': preconditions,
  'POST /nodes/{node}/qemu/{vmid}/migrate': migrate,
  'POST /nodes/{node}/vzdump': backup,
}

const volumesOfVm = (call: Call, vm: Vm): Volume[] => volumesOf(vm).flatMap((volid) => call.cluster.storages.volume(volid, vm.node) ?? [])

function preconditions(call: Call): unknown {
  const vm = vmOf(call)
  call.cluster.unlocked(vm)
  const local = volumesOfVm(call, vm).filter((volume) => volume.node !== null)
  return {
    running: vm.pid === null ? 0 : 1,
    allowed_nodes: [...call.cluster.nodes.keys()].filter((name) => name !== vm.node),
    not_allowed_nodes: {},
    local_disks: local.map((volume) => ({ volid: volume.volid, size: volume.disk.sizeBytes, cdrom: 0, is_unused: 0 })),
    local_resources: [],
    'mapped-resources': [],
    'mapped-resource-info': {},
    'has-dbus-vmstate': 1,
  }
}

function migrate(call: Call): string {
  const { cluster, node, parameters } = call
  onlyRoot(call, 'force')
  cluster.needsQuorum()
  const target = parameters.required('target')
  if (target === node) throw badParameters({ target: 'target is local node.' })
  cluster.node(target)
  const vm = vmOf(call)
  cluster.unlocked(vm)
  if (vm.pid !== null && !parameters.flag('online')) throw badParameters({ online: "can't migrate running VM without --online" })
  return call.start(vm.ha ? 'hamigrate' : 'qmigrate', vm.vmid, (worker) =>
    cluster.locks.within(vmLock(node, vm.vmid), async () => {
      const each = vmOf(call)
      cluster.unlocked(each)
      if (!cluster.node(target).online) throw died(`Can't connect to destination address using public key`)
      const local = volumesOfVm(call, each).filter((volume) => volume.node !== null)
      if (each.pid !== null && local.length > 0 && !parameters.flag('with-local-disks')) throw died('migration aborted')
      for (const volume of local) if (volume.parent !== null) throw died(`can't migrate '${volume.volid}' as it's a clone of '${volume.parent}'`)
      each.lock = 'migrate'
      worker.print(`starting migration of VM ${each.vmid} to node '${target}'`)
      try {
        await worker.takes(cluster.durations.other + local.reduce((sum, volume) => sum + volume.disk.sizeBytes / GIB, 0) * cluster.durations.copyPerGib)
      } catch (error) {
        if (!(error instanceof Vanished)) each.lock = null
        throw error
      }
      for (const volume of local) cluster.storages.replace(volume, { ...volume, node: target })
      each.node = target
      each.lock = null
      worker.print('migration finished successfully')
    }),
  )
}

function backup(call: Call): string {
  const { cluster, access, who, node, parameters } = call
  onlyRoot(call, 'tmpdir', 'dumpdir', 'script', 'job-id')
  const vmids = listOf(parameters.text('vmid')).map(Number)
  if (vmids.length === 0 && !parameters.flag('all') && parameters.text('pool') === undefined)
    throw badParameters({ vmid: 'property is missing and it is not optional' })
  const storage = cluster.storages.enabled(parameters.text('storage') ?? 'local', node)
  if (!storage.content.includes('backup')) throw died(`storage '${storage.id}' does not support backups`)
  access.check(who, `/storage/${storage.id}`, ['Datastore.AllocateSpace'])
  const chosen = vmids.length > 0 ? vmids : [...cluster.vms.values()].filter((vm) => vm.node === node).map((vm) => vm.vmid)
  for (const vmid of chosen) if (!access.may(who, `/vms/${vmid}`, ['VM.Backup'])) throw forbidden(`/vms/${vmid}, VM.Backup`)
  return call.start('vzdump', chosen.length === 1 ? String(chosen[0]) : '', async (worker) => {
    worker.print(`INFO: starting new backup job: vzdump ${chosen.join(' ')} --storage ${storage.id}`)
    const failed: string[] = []
    for (const vmid of chosen) {
      try {
        await backUp(call, cluster.vm(node, vmid), storage.id, worker)
      } catch (error) {
        if (error instanceof Vanished) throw error
        worker.print(`ERROR: Backup of VM ${vmid} failed - ${textOf(error)}`)
        failed.push(String(vmid))
      }
    }
    if (failed.length > 0) throw died('job errors')
    worker.print('INFO: Backup job finished successfully')
  })
}

async function backUp(call: Call, vm: Vm, storageId: string, worker: Worker): Promise<void> {
  const { cluster, parameters } = call
  await cluster.locks.within(vmLock(vm.node, vm.vmid), async () => {
    cluster.unlocked(vm)
    vm.lock = 'backup'
  })
  try {
    const frozen = vm.pid !== null && (await freeze(cluster, vm, worker))
    const disks: Record<string, Disk> = {}
    for (const drive of disksOf(vm.config)) {
      const from = diskOf(cluster, vm, drive)
      disks[drive.key] = cluster.storages.newDisk(from.format, from.sizeBytes)
      await cluster.guests.cloneDisk(from, null, disks[drive.key] ?? from, 'full')
    }
    if (frozen) await thaw(cluster, vm)
    const sizeBytes = Object.values(disks).reduce((sum, disk) => sum + disk.sizeBytes, 0)
    await worker.takes((sizeBytes / GIB) * cluster.durations.copyPerGib)
    const storage = cluster.storages.get(storageId)
    const stamp = new Date(cluster.now() * 1000).toISOString().slice(0, 19)
    const known = cluster.storages.volumes(storage, vm.node).filter((volume) => volume.content === 'backup').length
    const volid =
      storage.type === 'pbs'
        ? `${storageId}:backup/vm/${vm.vmid}/${stamp.slice(0, 17)}${String(known % 60).padStart(2, '0')}Z`
        : `${storageId}:backup/vzdump-qemu-${vm.vmid}-${stamp.replaceAll('-', '_').replace('T', '-').replaceAll(':', '_')}${known === 0 ? '' : `-${known}`}.vma.zst`
    const notes = parameters
      .text('notes-template')
      ?.replaceAll('{{guestname}}', vm.config['name'] ?? '')
      .replaceAll('{{vmid}}', String(vm.vmid))
      .replaceAll('{{node}}', vm.node)
    cluster.storages.put({
      volid,
      storage: storageId,
      node: storage.shared ? null : vm.node,
      content: 'backup',
      vmid: vm.vmid,
      disk: { key: volid, sizeBytes, format: 'raw' },
      base: false,
      parent: null,
      createdAt: cluster.now(),
      backup: { disks, config: { ...vm.config } },
      ...(notes === undefined ? {} : { notes }),
    })
    worker.print(`INFO: creating ${storage.type === 'pbs' ? 'Proxmox Backup Server' : 'vzdump'} archive '${volid}'`)
  } finally {
    if (vm.lock === 'backup') vm.lock = null
  }
}
