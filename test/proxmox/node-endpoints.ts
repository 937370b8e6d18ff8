/** What a node answers: itself, its bridges, its tasks. */
import { ownerOf } from './access.ts'
import { badParameters } from './answers.ts'
import type { Call, Endpoints } from './call.ts'
import { isUpid, type Task } from './tasks.ts'
import { memoryMib } from './vm-config.ts'

const GIB = 1024 ** 3
const memoryOf = (vm: { config: Readonly<Record<string, string>> }): number => memoryMib(vm.config) * 1024 ** 2

export const NODE_ENDPOINTS: Endpoints = {
  'GET /nodes': (call) =>
    [...call.cluster.nodes.values()].map((node) => {
      const entry = {
        node: node.name,
        id: `node/${node.name}`,
        type: 'node',
        status: node.online ? 'online' : 'offline',
        level: '',
        ssl_fingerprint: call.fingerprints.get(node.name),
      }
      if (!node.online || !call.access.may(call.who, `/nodes/${node.name}`, ['Sys.Audit'])) return entry
      return {
        ...entry,
        cpu: 0.01,
        maxcpu: node.cores,
        mem: call.cluster.memoryInUse(node.name, memoryOf),
        maxmem: node.memoryBytes,
        uptime: call.cluster.now() - node.bootedAt,
      }
    }),
  'GET /nodes/{node}': () => ['qemu', 'lxc', 'status', 'tasks', 'storage', 'network', 'vzdump', 'version'].map((name) => ({ name })),
  'GET /nodes/{node}/status': status,
  'GET /nodes/{node}/version': () => ({ version: '9.1.3', release: '9.1', repoid: 'f0e1d2c3b4a59687' }),
  'GET /nodes/{node}/network': network,
  'GET /nodes/{node}/firewall/options': (call) => (call.cluster.node(call.node).firewallOn ? {} : { enable: 0 }),
  'GET /nodes/{node}/tasks': tasks,
  'GET /nodes/{node}/tasks/{upid}/status': taskStatus,
  'GET /nodes/{node}/tasks/{upid}/log': taskLog,
  'DELETE /nodes/{node}/tasks/{upid}': (call) => {
    const task = taskOf(call)
    if (!ownTask(call, task)) call.access.check(call.who, `/nodes/${call.node}`, ['Sys.Modify'])
    call.cluster.tasks.stop(task.upid)
  },
  'GET /cluster/tasks': (call) => {
    const all = call.access.may(call.who, '/', ['Sys.Audit'])
    return call.cluster.tasks.all
      .filter((task) => all || task.user === call.who)
      .slice(-25)
      .reverse()
      .map((task) => shown(task))
  },
}

function status(call: Call): unknown {
  const node = call.cluster.node(call.node)
  const used = call.cluster.memoryInUse(node.name, memoryOf)
  const memory = { total: node.memoryBytes, used, free: node.memoryBytes - used, available: node.memoryBytes - used }
  return {
    uptime: call.cluster.now() - node.bootedAt,
    pveversion: 'pve-manager/9.1.3/f0e1d2c3b4a59687',
    kversion: 'Linux 6.17.2-1-pve #1 SMP PREEMPT_DYNAMIC',
    'current-kernel': { sysname: 'Linux', release: '6.17.2-1-pve', version: '#1 SMP PREEMPT_DYNAMIC', machine: 'x86_64' },
    'boot-info': { mode: 'efi', secureboot: 0 },
    cpuinfo: { model: 'Stand-in CPU', cpus: node.cores, cores: node.cores, sockets: 1, mhz: '3000.000', hvm: '1', flags: '', user_hz: 100 },
    cpu: 0.01,
    wait: 0,
    idle: 0,
    loadavg: ['0.10', '0.12', '0.09'],
    memory,
    swap: { total: 0, used: 0, free: 0 },
    rootfs: { total: 100 * GIB, used: 10 * GIB, free: 90 * GIB, avail: 85 * GIB },
    ksm: { shared: 0 },
  }
}

function network(call: Call): unknown {
  const wanted = call.parameters.text('type')
  const cards = call.cluster.node(call.node).bridges.flatMap((bridge, index) => [
    {
      iface: bridge,
      type: 'bridge',
      method: index === 0 ? 'static' : 'manual',
      method6: 'manual',
      families: ['inet'],
      active: 1,
      autostart: 1,
      bridge_ports: index === 0 ? `eno${index + 1}` : '',
      bridge_stp: 'off',
      bridge_fd: '0',
      priority: 4 + index,
      ...(index === 0 ? { cidr: '192.0.2.10/24', address: '192.0.2.10', netmask: '24', gateway: '192.0.2.1' } : {}),
    },
    ...(index === 0
      ? [{ iface: `eno${index + 1}`, type: 'eth', method: 'manual', method6: 'manual', families: ['inet'], active: 1, exists: 1, priority: 3 }]
      : []),
  ])
  const kinds: Readonly<Record<string, readonly string[]>> = { any_bridge: ['bridge', 'OVSBridge'], any_local_bridge: ['bridge', 'OVSBridge'] }
  return cards.filter((card) => wanted === undefined || (kinds[wanted] ?? [wanted]).includes(card.type))
}

/** A token's tasks are its user's tasks as well, not the other way round. */
const ownTask = (call: Call, task: Task): boolean => task.user === call.who || (task.user.includes('!') && ownerOf(task.user) === call.who)

function shown(task: Task): Record<string, unknown> {
  const [user = '', tokenid] = task.user.split('!')
  return {
    upid: task.upid,
    node: task.node,
    pid: task.pid,
    pstart: task.pstart,
    starttime: task.starttime,
    type: task.type,
    id: task.id,
    user,
    ...(tokenid === undefined ? {} : { tokenid }),
    ...(task.endtime === null ? {} : { endtime: task.endtime }),
    ...(task.running ? {} : { status: task.exitstatus ?? 'unexpected status' }),
  }
}

function taskOf(call: Call): Task {
  const upid = call.parameters.required('upid')
  if (!isUpid(upid)) throw badParameters({ upid: 'unable to parse worker upid' })
  const task = call.cluster.tasks.find(upid)
  if (!task || task.forgotten || task.node !== call.node) throw badParameters({ upid: 'no such task' })
  return task
}

function readable(call: Call): Task {
  const task = taskOf(call)
  if (!ownTask(call, task)) call.access.check(call.who, `/nodes/${call.node}`, ['Sys.Audit'])
  return task
}

function taskStatus(call: Call): unknown {
  const { status: _, ...task } = shown(readable(call))
  const { running, exitstatus } = readable(call)
  return { ...task, status: running ? 'running' : 'stopped', ...(running ? {} : { exitstatus: exitstatus ?? 'unexpected status' }) }
}

function taskLog(call: Call): unknown {
  const { log } = readable(call)
  const start = call.parameters.number('start') ?? 0
  const limit = call.parameters.number('limit') ?? 50
  call.total = Math.max(1, log.length)
  if (log.length === 0) return [{ n: 1, t: 'no content' }]
  return log.map((text, index) => ({ n: index + 1, t: text })).slice(start, limit === 0 ? undefined : start + limit)
}

const kindOf = (status: string | null): string =>
  status === null || status === 'unexpected status' ? 'unknown' : status === 'OK' ? 'ok' : /^WARNINGS: \d+$/.test(status) ? 'warning' : 'error'

function tasks(call: Call): unknown {
  const { parameters } = call
  const auditor = call.access.may(call.who, `/nodes/${call.node}`, ['Sys.Audit'])
  const source = parameters.text('source') ?? 'archive'
  const [user, type, vmid, since, until] = [
    parameters.text('userfilter'),
    parameters.text('typefilter'),
    parameters.text('vmid'),
    parameters.number('since'),
    parameters.number('until'),
  ]
  const kinds = parameters
    .text('statusfilter')
    ?.toLowerCase()
    .split(/[\s,;]+/)
  const found = call.cluster.tasks.all
    .filter((task) => task.node === call.node && !task.forgotten && (auditor || ownTask(call, task)))
    .filter((task) => source === 'all' || (source === 'active') === task.running)
    .filter(
      (task) =>
        (user === undefined || task.user.toLowerCase().includes(user.toLowerCase())) &&
        (type === undefined || task.type === type) &&
        (vmid === undefined || task.id === vmid),
    )
    .filter((task) => (since === undefined || task.starttime >= since) && (until === undefined || task.starttime <= until))
    .filter((task) => (!parameters.flag('errors') || kindOf(task.exitstatus) !== 'ok') && (!kinds || kinds.includes(kindOf(task.exitstatus))))
    .reverse()
  call.total = found.length
  const start = parameters.number('start') ?? 0
  return found.slice(start, start + (parameters.number('limit') ?? 50)).map((task) => ({ ...shown(task), ...(task.running ? { status: 'RUNNING' } : {}) }))
}
