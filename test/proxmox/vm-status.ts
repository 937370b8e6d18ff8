/** VMs shown: the list of a node, one VM's status, its figures over time, what it can do. */
import { died } from './answers.ts'
import { type Call, type Endpoints, vmOf } from './call.ts'
import { cloudInitOf } from './cloud-init.ts'
import type { Cluster, Vm } from './cluster.ts'
import { agentOptions, coresOf, disksOf, isDrive, memoryMib, parseDrive, published } from './vm-config.ts'

const MIB = 1024 ** 2
const CLOUD_INIT = /^(?:name|ciuser|cipassword|ciupgrade|citype|sshkeys|nameserver|searchdomain|cicustom|ipconfig\d+|net\d+)$/

export const VM_STATUS: Endpoints = {
  'GET /nodes/{node}/qemu': (call) =>
    [...call.cluster.vms.values()]
      .filter((vm) => vm.node === call.node && call.access.may(call.who, `/vms/${vm.vmid}`, ['VM.Audit']))
      .map((vm) => listed(call.cluster, vm)),
  'GET /nodes/{node}/qemu/{vmid}': () =>
    ['config', 'pending', 'status', 'unlink', 'vncproxy', 'migrate', 'resize', 'rrd', 'rrddata', 'agent', 'snapshot', 'firewall'].map((subdir) => ({ subdir })),
  'GET /nodes/{node}/qemu/{vmid}/status/current': current,
  'GET /nodes/{node}/qemu/{vmid}/rrddata': rrdData,
  'GET /nodes/{node}/qemu/{vmid}/feature': feature,
  'GET /nodes/{node}/qemu/{vmid}/cloudinit': cloudInit,
  'PUT /nodes/{node}/qemu/{vmid}/cloudinit': (call) => void vmOf(call),
  'GET /nodes/{node}/qemu/{vmid}/cloudinit/dump': dump,
}

export const uptimeOf = (cluster: Cluster, vm: Vm): number => (vm.pid === null ? 0 : Math.max(0, Math.floor(cluster.clock.now() - vm.startedAt)))

/** Share of the VM's own cores, as it was lately. */
export const loadOf = (cluster: Cluster, vm: Vm): number => Math.min(1, cluster.figures.busy(vm) / coresOf(vm.config))

export function bootDiskBytes(cluster: Cluster, vm: Vm): number {
  const [first] = disksOf(vm.config)
  return (first && cluster.storages.volume(first.file, vm.node)?.disk.sizeBytes) ?? 0
}

function listed(cluster: Cluster, vm: Vm): Record<string, unknown> {
  const usage = cluster.figures.of(vm)
  return {
    vmid: vm.vmid,
    name: vm.config['name'] ?? `VM ${vm.vmid}`,
    status: vm.pid === null ? 'stopped' : 'running',
    cpus: coresOf(vm.config),
    cpu: loadOf(cluster, vm),
    maxmem: memoryMib(vm.config) * MIB,
    mem: usage.memoryBytes,
    memhost: usage.memoryBytes,
    disk: 0,
    maxdisk: bootDiskBytes(cluster, vm),
    diskread: usage.diskReadBytes,
    diskwrite: usage.diskWriteBytes,
    netin: usage.netInBytes,
    netout: usage.netOutBytes,
    uptime: uptimeOf(cluster, vm),
    ...(vm.pid === null
      ? {}
      : { pid: vm.pid, pressurecpusome: 0, pressurecpufull: 0, pressureiosome: 0, pressureiofull: 0, pressurememorysome: 0, pressurememoryfull: 0 }),
    ...(vm.config['template'] === '1' ? { template: 1 } : {}),
    ...(vm.config['serial0'] === undefined ? {} : { serial: 1 }),
    ...(vm.lock === null ? {} : { lock: vm.lock }),
    ...(vm.config['tags'] === undefined ? {} : { tags: vm.config['tags'] }),
  }
}

function current(call: Call): unknown {
  const vm = vmOf(call)
  const running = { 'running-machine': 'pc-i440fx-10.1+pve0', 'running-qemu': '10.1.2' }
  return {
    ...listed(call.cluster, vm),
    ha: vm.ha === null ? { managed: 0 } : { managed: 1, state: vm.ha.state },
    qmpstatus: vm.pid === null ? 'stopped' : vm.paused ? 'paused' : 'running',
    ...(vm.pid === null ? {} : running),
    ...(agentOptions(vm.config).enabled ? { agent: 1 } : {}),
  }
}

/** One entry a minute, by its beginning; of a minute that is not known there is only the time. */
function rrdData(call: Call): unknown {
  const vm = vmOf(call)
  const maxcpu = coresOf(vm.config)
  const still = { maxcpu, maxmem: memoryMib(vm.config) * MIB, disk: 0, maxdisk: bootDiskBytes(call.cluster, vm) }
  return call.cluster.figures.minutes(vm).map(({ time, figures }) =>
    figures === null
      ? { time }
      : {
          time,
          ...still,
          cpu: figures.cpuSeconds / maxcpu,
          mem: figures.memoryBytes,
          netin: figures.netInBytes,
          netout: figures.netOutBytes,
          diskread: figures.diskReadBytes,
          diskwrite: figures.diskWriteBytes,
        },
  )
}

function feature(call: Call): unknown {
  const vm = vmOf(call)
  const snapshot = call.parameters.text('snapname')
  const config = snapshot === undefined ? vm.config : vm.snapshots.get(snapshot)?.config
  if (!config) throw died(`snapshot '${snapshot}' does not exist`)
  const asked = call.parameters.required('feature') as 'snapshot' | 'clone' | 'copy'
  const volumes = disksOf(config).map((drive) => call.cluster.storages.volume(drive.file, vm.node))
  const has = volumes.every((volume) => volume && call.cluster.storages.can(asked, volume, snapshot))
  const shared = volumes.every((volume) => volume?.node === null)
  return { hasFeature: has ? 1 : 0, nodes: shared ? [...call.cluster.nodes.keys()] : [vm.node] }
}

function cloudInit(call: Call): unknown {
  const vm = vmOf(call)
  const shown = published(vm.config)
  return Object.keys(vm.config)
    .filter((key) => CLOUD_INIT.test(key))
    .sort()
    .map((key) => ({ key, value: String(shown[key]) }))
}

function dump(call: Call): string {
  const vm = vmOf(call)
  const drive = Object.keys(vm.config).find((key) => isDrive(key) && parseDrive(key, vm.config[key] ?? '').file.includes('cloudinit'))
  // The dump is made of the configuration whether there is a drive for it or not.
  const data = cloudInitOf(vm.vmid, drive === undefined ? { ...vm.config, ide2: 'local:cloudinit,media=cdrom' } : vm.config)
  return data?.[call.parameters.required('type') as 'user' | 'meta' | 'network'] ?? ''
}
