/** From a VM's configuration to what its guest is started with: disks, cards behind their firewall, cloud-init. */
import { died } from './answers.ts'
import { cloudInitOf } from './cloud-init.ts'
import type { Cluster, Vm } from './cluster.ts'
import type { Boot, Disk, Network } from './guests.ts'
import type { Worker } from './tasks.ts'
import { agentOptions, coresOf, type Drive, disksOf, drivesOf, isCloudInit, memoryMib, nicKeys, parseNic } from './vm-config.ts'

/** The disk behind a drive; the drives of a VM on another node are not seen. */
export function diskOf(cluster: Cluster, vm: Vm, drive: Drive): Disk {
  const volume = cluster.storages.volume(drive.file, vm.node)
  if (!volume) throw died(`volume '${drive.file}' does not exist`)
  return volume.disk
}

export const disksOfVm = (cluster: Cluster, vm: Vm): Disk[] => disksOf(vm.config).map((drive) => diskOf(cluster, vm, drive))

export function networkOf(cluster: Cluster, vm: Vm): Network {
  const on = cluster.firewallOn && vm.firewall.options['enable'] === '1'
  const nics = nicKeys(vm.config).map((key) => {
    const nic = parseNic(vm.config[key] ?? '')
    return {
      index: Number(key.slice(3)),
      mac: nic['macaddr'] ?? '',
      bridge: nic['bridge'] ?? null,
      fenced: on && nic['firewall'] === '1',
      linkDown: nic['link_down'] === '1',
    }
  })
  return { nics, policyIn: vm.firewall.options['policy_in'] ?? 'DROP', policyOut: vm.firewall.options['policy_out'] ?? 'ACCEPT', rules: vm.firewall.rules }
}

function bootOf(cluster: Cluster, vm: Vm, memory: string | null): Boot {
  return {
    vmid: vm.vmid,
    node: vm.node,
    name: vm.config['name'] ?? `VM ${vm.vmid}`,
    cores: coresOf(vm.config),
    memoryMib: memoryMib(vm.config),
    disks: disksOfVm(cluster, vm),
    network: networkOf(cluster, vm),
    cloudInit: cloudInitOf(vm.vmid, vm.config),
    config: vm.config,
    memory,
  }
}

/** Starts the guest: pending changes first, then what a node must have for it. */
export async function startVm(cluster: Cluster, vm: Vm, worker: Worker, memory: string | null = null): Promise<void> {
  if (vm.config['template'] === '1') throw died("you can't start a vm if it's a template")
  cluster.unlocked(vm)
  if (vm.pid !== null) throw died(`VM ${vm.vmid} already running`)
  applyPending(vm)
  const node = cluster.node(vm.node)
  for (const nic of networkOf(cluster, vm).nics)
    if (nic.bridge !== null && !node.bridges.includes(nic.bridge)) throw died(`bridge '${nic.bridge}' does not exist`)
  const bytes = memoryMib(vm.config) * 1024 ** 2
  if (cluster.memoryInUse(vm.node, (each) => memoryMib(each.config) * 1024 ** 2) + bytes > node.memoryBytes)
    throw died("start failed: QEMU exited with code 1: cannot set up guest memory 'pc.ram': Cannot allocate memory")
  const boot = bootOf(cluster, vm, memory)
  if (drivesOf(vm.config).some(isCloudInit)) worker.print('generating cloud-init ISO')
  await worker.takes(cluster.durations.start)
  await cluster.guests.start(boot)
  vm.pid = cluster.nextPid()
  vm.paused = false
  vm.startedAt = cluster.clock.now()
}

export async function stopVm(cluster: Cluster, vm: Vm): Promise<void> {
  if (vm.pid === null) return
  cluster.figures.of(vm)
  await cluster.guests.stop(vm.vmid)
  vm.pid = null
  vm.paused = false
  applyPending(vm)
}

export function applyPending(vm: Vm): void {
  for (const [key, value] of Object.entries(vm.pending)) {
    if (value === null) delete vm.config[key]
    else vm.config[key] = value
  }
  vm.pending = {}
}

/** Freezes the guest's file systems where that is wanted and possible; answers whether it did. */
export async function freeze(cluster: Cluster, vm: Vm, worker: Worker): Promise<boolean> {
  if (!agentOptions(vm.config).freezes) return false
  const agent = cluster.guests.agent(vm.vmid)
  if (!agent) {
    worker.print('skipping guest filesystem freeze - agent configured but not running?')
    return false
  }
  await agent.execute('guest-fsfreeze-freeze', {})
  return true
}

export async function thaw(cluster: Cluster, vm: Vm): Promise<void> {
  await cluster.guests.agent(vm.vmid)?.execute('guest-fsfreeze-thaw', {})
}
