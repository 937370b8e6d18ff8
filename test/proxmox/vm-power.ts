/** Start, stop, shutdown, reboot, reset, suspend and resume of a VM, and its end. */
import { died } from './answers.ts'
import { startVm, stopVm } from './boot.ts'
import { type Call, type Endpoints, onlyRoot, vmidOf, vmOf } from './call.ts'
import type { Vm } from './cluster.ts'
import { vmLock } from './locks.ts'
import { storageOf } from './storages.ts'
import type { Worker } from './tasks.ts'
import { agentOptions } from './vm-config.ts'
import { volumesOf } from './vm-update.ts'
import { freeVolume } from './volumes.ts'

const SHUTDOWN_S = 60

export const VM_POWER: Endpoints = {
  'POST /nodes/{node}/qemu/{vmid}/status/start': (call) => {
    onlyRoot(
      call,
      'stateuri',
      'skiplock',
      'migratedfrom',
      'migration_type',
      'migration_network',
      'targetstorage',
      'force-cpu',
      'with-conntrack-state',
      'nets-host-mtu',
    )
    call.cluster.needsQuorum()
    return highlyAvailable(call, 'hastart', 'started') ?? inTask(call, 'qmstart', (vm, worker) => startVm(call.cluster, vm, worker))
  },
  'POST /nodes/{node}/qemu/{vmid}/status/stop': (call) => {
    onlyRoot(call, 'skiplock', 'keepActive', 'migratedfrom')
    return (
      highlyAvailable(call, 'hastop', 'stopped') ??
      inTask(call, 'qmstop', async (vm, worker) => {
        if (vm.pid === null) return
        if (!call.parameters.flag('skiplock')) call.cluster.unlocked(vm)
        await worker.takes(call.cluster.durations.stop)
        await stopVm(call.cluster, vm)
      })
    )
  },
  'POST /nodes/{node}/qemu/{vmid}/status/shutdown': (call) => {
    onlyRoot(call, 'skiplock', 'keepActive')
    const force = call.parameters.flag('forceStop')
    if (vmOf(call).paused && !force) throw died('VM is paused - cannot shutdown')
    return highlyAvailable(call, 'hastop', 'stopped') ?? inTask(call, 'qmshutdown', (vm, worker) => shutdown(call, vm, worker, force))
  },
  'POST /nodes/{node}/qemu/{vmid}/status/reboot': (call) => {
    const vm = vmOf(call)
    if (vm.paused) throw died('VM is paused - cannot shutdown')
    running(call)
    return inTask(call, 'qmreboot', async (each, worker) => {
      await shutdown(call, each, worker, false)
      await startVm(call.cluster, each, worker)
    })
  },
  'POST /nodes/{node}/qemu/{vmid}/status/reset': (call) => {
    onlyRoot(call, 'skiplock')
    running(call)
    return inTask(call, 'qmreset', async (vm) => {
      call.cluster.unlocked(vm)
      await call.cluster.guests.reset(vm.vmid)
    })
  },
  'POST /nodes/{node}/qemu/{vmid}/status/suspend': (call) => {
    onlyRoot(call, 'skiplock')
    running(call)
    if (call.parameters.flag('todisk')) throw died('the stand-in does not suspend to disk')
    return inTask(call, 'qmpause', async (vm) => {
      call.cluster.unlocked(vm)
      await call.cluster.guests.pause(vm.vmid)
      vm.paused = true
    })
  },
  'POST /nodes/{node}/qemu/{vmid}/status/resume': (call) => {
    onlyRoot(call, 'skiplock', 'nocheck')
    running(call)
    return inTask(call, 'qmresume', async (vm) => {
      if (!vm.paused) return
      call.cluster.unlocked(vm)
      await call.cluster.guests.resume(vm.vmid)
      vm.paused = false
    })
  },
  'DELETE /nodes/{node}/qemu/{vmid}': destroy,
}

function running(call: Call): Vm {
  const vm = call.cluster.vms.get(vmidOf(call))
  if (vm?.node !== call.node) throw died(`unable to find configuration file for VM ${vmidOf(call)} on node '${call.node}'`)
  if (vm.pid === null) throw died(`VM ${vm.vmid} not running`)
  return vm
}

/** The worker's own look at the VM is what counts: a VM that is not there is the task's failure, not the request's. */
const inTask = (call: Call, type: string, work: (vm: Vm, worker: Worker) => Promise<void>): string =>
  call.start(type, vmidOf(call), (worker) => call.cluster.locks.within(vmLock(call.node, vmidOf(call)), () => work(vmOf(call), worker)))

/** A start that follows a creation or a rollback is a task of its own: theirs may be done before the VM runs, and does not know how it went. */
export function startsLater(call: Call, vm: Vm): void {
  call.start('qmstart', vm.vmid, (worker) => call.cluster.locks.within(vmLock(vm.node, vm.vmid), () => startVm(call.cluster, vm, worker)))
}

async function shutdown(call: Call, vm: Vm, worker: Worker, force: boolean): Promise<void> {
  if (vm.pid === null) return
  call.cluster.unlocked(vm)
  const seconds = call.parameters.number('timeout') ?? SHUTDOWN_S
  const agent = agentOptions(vm.config).enabled ? call.cluster.guests.agent(vm.vmid) : null
  if (agent) await agent.execute('guest-shutdown', {})
  else await call.cluster.guests.shutdown(vm.vmid)
  // The guest says when it is off; the worker looks every second.
  for (let waited = 0; vm.pid !== null && waited < seconds; waited += 1) await worker.takes(1)
  if (vm.pid === null) return
  if (!force) throw died('VM quit/powerdown failed - got timeout')
  worker.print('VM still running - terminating now with SIGTERM')
  await stopVm(call.cluster, vm)
}

/** For a VM under HA only the wish is noted; the manager carries it out. */
function highlyAvailable(call: Call, type: string, state: string): string | undefined {
  const vm = call.cluster.vms.get(vmidOf(call))
  if (!vm?.ha) return undefined
  return call.start(type, vm.vmid, async (worker) => {
    worker.print(`Requesting HA ${state === 'started' ? 'start' : 'stop'} for VM ${vm.vmid}`)
    vm.ha = { state }
    call.start(state === 'started' ? 'qmstart' : 'qmstop', vm.vmid, (each) =>
      state === 'started' ? startVm(call.cluster, vm, each) : stopVm(call.cluster, vm),
    )
  })
}

function destroy(call: Call): string {
  onlyRoot(call, 'skiplock')
  const { cluster, access } = call
  const check = (): Vm => {
    const vm = vmOf(call)
    if (vm.config['protection'] === '1') throw died(`can't remove VM ${vm.vmid} - protection mode enabled`)
    if (vm.ha && !call.parameters.flag('purge')) throw died(`unable to remove VM ${vm.vmid} - used in HA resources and purge parameter not set.`)
    if (vm.pid !== null) throw died(`VM ${vm.vmid} is running - destroy failed`)
    return vm
  }
  check()
  return inTask(call, 'qmdestroy', async (_, worker) => {
    const vm = check()
    if (!call.parameters.flag('skiplock')) cluster.unlocked(vm)
    for (const volid of volumesOf(vm)) {
      const volume = cluster.storages.volume(volid, vm.node)
      if (volume?.base && cluster.storages.children(volume).length > 0) throw died(`base volume '${volid}' is still in use by linked cloned`)
    }
    await worker.takes(cluster.durations.other)
    const unreferenced = call.parameters.flag('destroy-unreferenced-disks')
      ? cluster.storages.all
          .flatMap((storage) => cluster.storages.volumes(storage, vm.node))
          .filter((volume) => volume.vmid === vm.vmid && volume.content === 'images')
          .map((volume) => volume.volid)
      : []
    for (const volid of new Set([...volumesOf(vm), ...unreferenced])) {
      const volume = cluster.storages.volume(volid, vm.node)
      if (volume?.vmid !== vm.vmid) continue
      try {
        await freeVolume(cluster, vm.node, volid)
      } catch (error) {
        worker.warn(`Could not remove disk '${volid}', check manually: ${error instanceof Error ? error.message : error}`)
      }
      worker.print(`  Removed volume '${volid}' on '${storageOf(volid)}'`)
    }
    cluster.removeVm(vm.vmid, access)
  })
}
