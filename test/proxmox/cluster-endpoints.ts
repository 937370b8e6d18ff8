/** What the whole cluster answers: version, resources, free numbers, its state, pools and high availability. */
import { badParameters, died, forbidden, listOf } from './answers.ts'
import type { Call, Endpoints } from './call.ts'
import type { Node, Pool, Vm } from './cluster.ts'
import { coresOf, memoryMib } from './vm-config.ts'
import { bootDiskBytes, loadOf, uptimeOf } from './vm-status.ts'

const MIB = 1024 ** 2

export const CLUSTER_ENDPOINTS: Endpoints = {
  'GET /version': () => ({ version: '9.1.3', release: '9.1', repoid: 'f0e1d2c3b4a59687' }),
  'GET /cluster/resources': resources,
  'GET /cluster/nextid': nextId,
  'GET /cluster/status': (call) => [
    {
      id: 'cluster',
      type: 'cluster',
      name: call.cluster.name,
      nodes: call.cluster.nodes.size,
      quorate: call.cluster.quorate ? 1 : 0,
      version: call.cluster.nodes.size,
    },
    ...nodes(call).map((node) => ({
      id: `node/${node.name}`,
      type: 'node',
      name: node.name,
      nodeid: node.id,
      ip: `192.0.2.${node.id}`,
      local: node.name === call.node ? 1 : 0,
      online: node.online ? 1 : 0,
      level: '',
    })),
  ],
  'GET /cluster/firewall/options': (call) => ({ enable: call.cluster.firewallOn ? 1 : 0 }),
  'GET /cluster/ha/status/current': haStatus,
  'GET /cluster/ha/status/manager_status': (call) => ({
    manager_status: {
      master_node: nodes(call)[0]?.name,
      node_status: Object.fromEntries(nodes(call).map((node) => [node.name, haState(node)])),
      service_status: {},
      timestamp: call.cluster.now(),
    },
    quorum: { node: call.node, quorate: call.cluster.quorate ? 1 : 0 },
  }),
  'GET /cluster/ha/resources': (call) =>
    managed(call).map((vm) => ({ sid: `vm:${vm.vmid}`, type: 'vm', state: vm.ha?.state ?? 'stopped', digest: '0'.repeat(40) })),
  'GET /pools': pools,
  'POST /pools': (call) => {
    const id = call.parameters.required('poolid')
    if (call.cluster.pools.has(id)) throw died(`create pool failed: pool '${id}' already exists`)
    call.cluster.addPool(id, call.parameters.text('comment'))
  },
  'GET /pools/{poolid}': (call) => {
    const { poolid: _, ...rest } = shown(call, call.parameters.required('poolid'), true) as { poolid: string }
    return rest
  },
  'PUT /pools/{poolid}': (call) => changePool(call),
  'PUT /pools': (call) => changePool(call),
  'DELETE /pools/{poolid}': removePool,
  'DELETE /pools': removePool,
}

const nodes = (call: Call): Node[] => [...call.cluster.nodes.values()]
const managed = (call: Call): Vm[] => [...call.cluster.vms.values()].filter((vm) => vm.ha !== null)
const haState = (node: Node): string => (node.maintenance ? 'maintenance' : node.online ? 'online' : 'unknown')

function resources(call: Call): unknown {
  const { cluster, access, who } = call
  const type = call.parameters.text('type')
  const wants = (name: string): boolean => type === undefined || type === name
  const pools =
    type === undefined
      ? [...cluster.pools.keys()]
          .filter((pool) => access.may(who, `/pool/${pool}`, ['Pool.Audit']))
          .map((pool) => ({ id: `/pool/${pool}`, pool, type: 'pool' }))
      : []
  const vms = wants('vm') ? [...cluster.vms.values()].filter((vm) => access.may(who, `/vms/${vm.vmid}`, ['VM.Audit'])).map((vm) => vmEntry(call, vm)) : []
  const machines = wants('node') ? nodes(call).map((node) => nodeEntry(call, node)) : []
  const storages = wants('storage')
    ? cluster.storages.all
        .filter((storage) => access.may(who, `/storage/${storage.id}`, ['Datastore.Audit']) && !storage.disabled)
        .flatMap((storage) =>
          nodes(call)
            .filter((node) => storage.nodes === null || storage.nodes.includes(node.name))
            .map((node) => ({
              id: `storage/${node.name}/${storage.id}`,
              type: 'storage',
              storage: storage.id,
              node: node.name,
              plugintype: storage.type,
              status: 'available',
              shared: storage.shared ? 1 : 0,
              content: storage.content.join(','),
              disk: cluster.storages.usedBytes(storage, node.name),
              maxdisk: storage.totalBytes,
            })),
        )
    : []
  const zones =
    wants('sdn') && access.may(who, '/sdn/zones/localnetwork', ['SDN.Audit'])
      ? nodes(call).map((node) => ({ id: `sdn/${node.name}/localnetwork`, type: 'sdn', sdn: 'localnetwork', node: node.name, status: 'ok' }))
      : []
  return [...pools, ...vms, ...machines, ...storages, ...zones]
}

function vmEntry(call: Call, vm: Vm): Record<string, unknown> {
  const { cluster, access, who } = call
  const pool = cluster.poolOf(vm.vmid)
  // Of a node that is gone nobody tells.
  const told = cluster.node(vm.node).online ? cluster.broadcasts.of(vm, () => figures(call, vm)) : null
  return {
    id: `qemu/${vm.vmid}`,
    type: 'qemu',
    vmid: vm.vmid,
    node: vm.node,
    ...(told ?? { status: 'unknown' }),
    ...(vm.config['tags'] === undefined ? {} : { tags: vm.config['tags'] }),
    ...(vm.lock === null ? {} : { lock: vm.lock }),
    ...(pool !== undefined && access.may(who, `/pool/${pool}`, ['Pool.Audit']) ? { pool } : {}),
    ...(vm.ha === null ? {} : { hastate: vm.ha.state }),
  }
}

function figures({ cluster }: Call, vm: Vm): Record<string, unknown> {
  const usage = cluster.figures.of(vm)
  return {
    name: vm.config['name'] ?? `VM ${vm.vmid}`,
    status: vm.pid === null ? 'stopped' : 'running',
    template: vm.config['template'] === '1' ? 1 : 0,
    uptime: uptimeOf(cluster, vm),
    cpu: loadOf(cluster, vm),
    maxcpu: coresOf(vm.config),
    mem: usage.memoryBytes,
    memhost: usage.memoryBytes,
    maxmem: memoryMib(vm.config) * MIB,
    disk: 0,
    maxdisk: bootDiskBytes(cluster, vm),
    netin: usage.netInBytes,
    netout: usage.netOutBytes,
    diskread: usage.diskReadBytes,
    diskwrite: usage.diskWriteBytes,
  }
}

function nodeEntry(call: Call, node: Node): Record<string, unknown> {
  const entry = {
    id: `node/${node.name}`,
    type: 'node',
    node: node.name,
    status: node.online ? 'online' : 'offline',
    'cgroup-mode': 2,
    level: '',
    ...(node.maintenance ? { hastate: 'maintenance' } : {}),
  }
  if (!call.access.may(call.who, `/nodes/${node.name}`, ['Sys.Audit'])) return entry
  const used = call.cluster.memoryInUse(node.name, (vm) => memoryMib(vm.config) * MIB)
  const still = { maxcpu: node.cores, maxmem: node.memoryBytes, maxdisk: 100 * 1024 ** 3 }
  return node.online ? { ...entry, ...still, mem: used, cpu: 0.01, disk: 10 * 1024 ** 3, uptime: call.cluster.now() - node.bootedAt } : { ...entry, ...still }
}

function nextId(call: Call): number {
  const asked = call.parameters.number('vmid')
  if (asked !== undefined) {
    if (call.cluster.vms.has(asked)) throw badParameters({ vmid: `VM ${asked} already exists` })
    return asked
  }
  for (let vmid = 100; vmid < 1_000_000; vmid += 1) if (!call.cluster.vms.has(vmid)) return vmid
  throw died('unable to get any free VMID in range [100, 1000000]')
}

function haStatus(call: Call): unknown {
  const [master] = nodes(call)
  return [
    { id: 'quorum', type: 'quorum', node: call.node, status: call.cluster.quorate ? 'OK' : 'No quorum!', quorate: call.cluster.quorate ? 1 : 0 },
    ...(master ? [{ id: 'master', type: 'master', node: master.name, status: `${master.name} (active)`, timestamp: call.cluster.now() }] : []),
    ...nodes(call).map((node) => ({
      id: `lrm:${node.name}`,
      type: 'lrm',
      node: node.name,
      status: `${node.name} (${node.maintenance ? 'maintenance mode' : node.online ? 'idle' : 'old timestamp - dead?'})`,
      timestamp: call.cluster.now(),
    })),
    ...managed(call).map((vm) => ({
      id: `service:vm:${vm.vmid}`,
      type: 'service',
      sid: `vm:${vm.vmid}`,
      node: vm.node,
      state: vm.ha?.state,
      status: `vm:${vm.vmid} (${vm.node}, ${vm.ha?.state})`,
      request_state: vm.ha?.state,
      crm_state: vm.ha?.state,
    })),
  ]
}

function pools(call: Call): unknown {
  const only = call.parameters.text('poolid')
  if (only !== undefined) return [shown(call, only, true)]
  return [...call.cluster.pools.keys()].filter((pool) => call.access.may(call.who, `/pool/${pool}`, ['Pool.Audit'])).map((pool) => shown(call, pool, false))
}

function poolOf(call: Call): Pool {
  const id = call.parameters.required('poolid')
  const pool = call.cluster.pools.get(id)
  if (!pool) throw died(`pool '${id}' does not exist`)
  return pool
}

function shown(call: Call, id: string, withMembers: boolean): unknown {
  const pool = call.cluster.pools.get(id)
  if (!pool) throw died(`pool '${id}' does not exist`)
  const members = [...pool.vms].flatMap((vmid) => {
    const vm = call.cluster.vms.get(vmid)
    return vm ? [vmEntry(call, vm)] : []
  })
  const stores = [...pool.storages].map((storage) => ({ id: `storage/${call.node}/${storage}`, type: 'storage', storage, node: call.node }))
  return { poolid: id, ...(pool.comment === undefined ? {} : { comment: pool.comment }), ...(withMembers ? { members: [...members, ...stores] } : {}) }
}

function changePool(call: Call): void {
  const pool = poolOf(call)
  const removing = call.parameters.flag('delete')
  for (const vmid of listOf(call.parameters.text('vms')).map(Number)) {
    if (!call.access.may(call.who, `/vms/${vmid}`, ['Permissions.Modify', 'VM.Allocate'], true)) throw forbidden(`/vms/${vmid}, Permissions.Modify|VM.Allocate`)
    const holder = call.cluster.poolOf(vmid)
    if (removing) {
      if (!pool.vms.delete(vmid)) throw died(`VM ${vmid} is not a pool member`)
    } else if (holder !== undefined && !call.parameters.flag('allow-move'))
      throw died(`VM ${vmid} belongs already to pool '${holder}' and 'allow-move' is not set`)
    else {
      if (holder !== undefined) call.cluster.pools.get(holder)?.vms.delete(vmid)
      pool.vms.add(vmid)
    }
  }
  for (const storage of listOf(call.parameters.text('storage'))) {
    call.access.check(call.who, `/storage/${storage}`, ['Permissions.Modify', 'Datastore.Allocate'], true)
    if (removing) pool.storages.delete(storage)
    else pool.storages.add(storage)
  }
  const comment = call.parameters.text('comment')
  if (comment !== undefined) pool.comment = comment
}

function removePool(call: Call): void {
  const pool = poolOf(call)
  if (pool.vms.size + pool.storages.size > 0) throw died(`pool '${call.parameters.required('poolid')}' is not empty`)
  call.cluster.pools.delete(call.parameters.required('poolid'))
}
