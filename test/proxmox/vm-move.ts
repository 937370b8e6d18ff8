/** Migration of a VM to another node. */
import { badParameters, died } from './answers.ts'
import { type Call, type Endpoints, onlyRoot, vmOf } from './call.ts'
import type { Vm } from './cluster.ts'
import { vmLock } from './locks.ts'
import type { Volume } from './storages.ts'
import { Vanished } from './tasks.ts'
import { volumesOf } from './vm-update.ts'

const GIB = 1024 ** 3

export const VM_MOVE: Endpoints = {
  'GET /nodes/{node}/qemu/{vmid}/migrate': preconditions,
  'POST /nodes/{node}/qemu/{vmid}/migrate': migrate,
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
