/** The cluster that the stand-in is: nodes, VMs, pools and storages, and the one place where any of them is changed. */
import type { Access } from './access.ts'
import { died } from './answers.ts'
import type { Broadcasts } from './broadcasts.ts'
import type { Clock } from './clock.ts'
import { Figures } from './figures.ts'
import type { FirewallRule, Guests } from './guests.ts'
import { type Locks, storageLock, vmLock } from './locks.ts'
import { Storages } from './storages.ts'
import type { Tasks } from './tasks.ts'
import type { Config } from './vm-config.ts'

const GIB = 1024 ** 3

export interface Node {
  readonly name: string
  readonly id: number
  readonly cores: number
  readonly memoryBytes: number
  readonly bridges: readonly string[]
  readonly bootedAt: number
  online: boolean
  /** Whether the host's own firewall rules are on; those of VMs do not ask for it. */
  firewallOn: boolean
  /** Under `ha-manager crm-command node-maintenance enable`. */
  maintenance: boolean
}

export interface Snapshot {
  readonly config: Config
  readonly takenAt: number
  readonly description: string
  readonly parent: string | null
  /** Key of the saved RAM. */
  readonly memory: string | null
  state: string | null
}

export interface Rule extends FirewallRule {
  readonly comment?: string
  readonly type: string
  readonly log?: string
  readonly icmpType?: string
}

export interface Vm {
  readonly vmid: number
  readonly createdAt: number
  node: string
  config: Config
  /** Changes that wait for a restart. */
  pending: Record<string, string | null>
  lock: string | null
  parent: string | null
  readonly snapshots: Map<string, Snapshot>
  firewall: { options: Record<string, string>; rules: Rule[] }
  pid: number | null
  paused: boolean
  startedAt: number
  ha: { state: string } | null
}

export interface Pool {
  comment: string | undefined
  readonly vms: Set<number>
  readonly storages: Set<string>
}

/** How long things take, in Proxmox's seconds. */
export interface Durations {
  readonly linkedClone: number
  readonly copyPerGib: number
  readonly start: number
  readonly stop: number
  readonly snapshot: number
  readonly memoryPerGib: number
  readonly other: number
}
export const DURATIONS: Durations = { linkedClone: 1, copyPerGib: 0.5, start: 1, stop: 0.5, snapshot: 0.5, memoryPerGib: 0.5, other: 0.2 }

export class Cluster {
  readonly name = 'stand-in'
  /** The datacenter's firewall; while it is off, no VM's is on. */
  firewallOn = true
  readonly nodes = new Map<string, Node>()
  readonly vms = new Map<number, Vm>()
  readonly pools = new Map<string, Pool>()
  readonly storages = new Storages()
  readonly clock: Clock
  readonly locks: Locks
  readonly tasks: Tasks
  readonly guests: Guests
  readonly durations: Durations
  readonly broadcasts: Broadcasts
  readonly figures: Figures
  readonly directory: string
  #nextPid = 50_000

  constructor(parts: { clock: Clock; locks: Locks; tasks: Tasks; guests: Guests; durations: Durations; broadcasts: Broadcasts; directory: string }) {
    this.clock = parts.clock
    this.locks = parts.locks
    this.tasks = parts.tasks
    this.guests = parts.guests
    this.durations = parts.durations
    this.broadcasts = parts.broadcasts
    this.figures = new Figures(parts.clock, parts.guests)
    this.directory = parts.directory
    this.guests.onEnded((vmid) => this.#ended(vmid))
  }

  now(): number {
    return Math.floor(this.clock.now())
  }

  addNode(name: string, node: Partial<Omit<Node, 'name' | 'id'>> = {}): Node {
    const made = {
      name,
      id: this.nodes.size + 1,
      cores: 8,
      memoryBytes: 32 * GIB,
      bridges: ['vmbr0', 'vmbr1'],
      bootedAt: this.now() - 86_400,
      online: true,
      firewallOn: true,
      maintenance: false,
      ...node,
    }
    this.nodes.set(name, made)
    return made
  }

  node(name: string): Node {
    const node = this.nodes.get(name)
    if (!node) throw died(`no such cluster node '${name}'`)
    return node
  }

  addPool(id: string, comment?: string): Pool {
    const pool: Pool = { comment, vms: new Set(), storages: new Set() }
    this.pools.set(id, pool)
    return pool
  }

  /** More than half of the nodes are there. */
  get quorate(): boolean {
    const online = [...this.nodes.values()].filter((node) => node.online).length
    return online * 2 > this.nodes.size
  }

  /** Refuses what needs the cluster to agree. */
  needsQuorum(): void {
    if (!this.quorate) throw died('cluster not ready - no quorum?')
  }

  poolOf(vmid: number): string | undefined {
    return [...this.pools].find(([, pool]) => pool.vms.has(vmid))?.[0]
  }

  /** Pools whose grants count on a path. */
  poolsOf(path: string): string[] {
    const [, kind, id = ''] = path.split('/')
    return [...this.pools].filter(([, pool]) => (kind === 'vms' ? pool.vms.has(Number(id)) : kind === 'storage' && pool.storages.has(id))).map(([name]) => name)
  }

  /** The VM's configuration on this node; Proxmox looks nowhere else. */
  vm(node: string, vmid: number): Vm {
    const vm = this.vms.get(vmid)
    if (vm?.node !== node) throw died(`Configuration file 'nodes/${node}/qemu-server/${vmid}.conf' does not exist`)
    return vm
  }

  unlocked(vm: Vm): void {
    if (vm.lock !== null) throw died(`VM is locked (${vm.lock})`)
  }

  /** A VM that exists but for its configuration. */
  putVm(vmid: number, node: string, config: Config, lock: string | null, createdAt = this.clock.now()): Vm {
    const vm: Vm = {
      vmid,
      createdAt,
      node,
      config,
      pending: {},
      lock,
      parent: null,
      snapshots: new Map(),
      firewall: { options: {}, rules: [] },
      pid: null,
      paused: false,
      startedAt: 0,
      ha: null,
    }
    this.vms.set(vmid, vm)
    return vm
  }

  removeVm(vmid: number, access: Access): void {
    this.vms.delete(vmid)
    for (const pool of this.pools.values()) pool.vms.delete(vmid)
    access.revoke((grant) => grant.path === `/vms/${vmid}`)
  }

  /** Another process holds a VM's or a storage's lock for a while. */
  hold(node: string, what: number | { readonly id: string; readonly shared: boolean }, seconds: number): void {
    const name = typeof what === 'number' ? vmLock(node, what) : storageLock(node, what.id, what.shared)
    void this.locks.hold(name, seconds)
  }

  /** A node's host dies: its workers and its guests with it. Whatever they had locked in a configuration stays locked. */
  crash(name: string): void {
    this.node(name).online = false
    this.tasks.crash(name)
    for (const vm of this.vms.values()) {
      if (vm.node !== name || vm.pid === null) continue
      void this.guests.stop(vm.vmid)
      this.#ended(vm.vmid)
    }
  }

  nextPid(): number {
    this.#nextPid += 3
    return this.#nextPid
  }

  /** Bytes that running VMs of a node were given. */
  memoryInUse(node: string, memoryOf: (vm: Vm) => number): number {
    return 2 * GIB + [...this.vms.values()].filter((vm) => vm.node === node && vm.pid !== null).reduce((sum, vm) => sum + memoryOf(vm), 0)
  }

  #ended(vmid: number): void {
    const vm = this.vms.get(vmid)
    if (!vm) return
    vm.pid = null
    vm.paused = false
  }
}
