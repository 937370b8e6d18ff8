/** The stand-in cluster in a process of its own, so that what it needs is not counted as the Hub's: it says how to reach it, takes VMs that lie there, and tells what it saw. */
import { CONFORMANCE_AGENT } from '../../packages/hub/substrates/conformance.ts'
import type { ProxmoxSettings } from '../../packages/hub/substrates/proxmox/site.ts'
import { TestCluster } from '../../packages/hub/substrates/proxmox/test-cluster.ts'
import type { StorageType } from '../../test/proxmox/storages.ts'
import { answerParent } from '../support/child.ts'

export interface PlantedVm {
  readonly vmid: number
  readonly node: string
  readonly name: string
}

export type Question =
  | { readonly kind: 'open'; readonly storage: StorageType; readonly nodes: number; readonly secondMs: number }
  | { readonly kind: 'plant'; readonly vms: readonly PlantedVm[] }
  | { readonly kind: 'power'; readonly on: boolean }
  | { readonly kind: 'clear' }
  | { readonly kind: 'tell' }

export interface Opened {
  readonly doors: readonly { readonly url: string; readonly fingerprint: string }[]
  /** `id=secret`. */
  readonly token: string
  readonly settings: Omit<ProxmoxSettings, 'ipConfig'>
}

/** Since the last time that it told. */
export interface Seen {
  readonly requests: number
  /** Machines by node, of all that are there. */
  readonly perNode: Readonly<Record<string, number>>
  /** Clones in flight at most, of all sources together and of one. */
  readonly clonesMost: number
  readonly clonesOfOneMost: number
  /** Of this process. */
  readonly cpuMs: number
}

export interface Answer {
  readonly opened?: Opened
  readonly seen?: Seen
}

const LOOK_EVERY_MS = 5

let cluster: TestCluster | undefined
let requests = 0
let cpu = process.cpuUsage()
let [clonesMost, clonesOfOneMost] = [0, 0]

answerParent<Question, Answer>(async (question) => {
  if (question.kind === 'open') return { opened: await open(question) }
  const { pve, settings } = opened()
  if (question.kind === 'plant') {
    for (const vm of question.vms) {
      pve.plantVm({ ...vm, tags: 'autovibe' })
      pve.cluster.pools.get(settings.pool)?.vms.add(vm.vmid)
    }
    return {}
  }
  if (question.kind === 'power') {
    for (const vm of machines()) vm.pid = question.on ? pve.cluster.nextPid() : null
    return {}
  }
  if (question.kind === 'clear') {
    for (const vmid of machines().map((vm) => vm.vmid)) pve.cluster.removeVm(vmid, pve.access)
    return {}
  }
  return { seen: tell() }
})

async function open({ storage, nodes, secondMs }: Question & { kind: 'open' }): Promise<Opened> {
  cluster = await TestCluster.start({ storage, nodes, agent: CONFORMANCE_AGENT, standIn: { secondMs } })
  const { pve, token, settings } = cluster
  setInterval(lookAtClones, LOOK_EVERY_MS)
  // Functions do not travel.
  const { ipConfig: _, ...rest } = settings
  return { doors: [...pve.urls].map(([name, url]) => ({ url, fingerprint: pve.fingerprints.get(name) ?? '' })), token, settings: rest }
}

function opened(): TestCluster {
  if (cluster === undefined) throw new Error('the cluster is not open')
  return cluster
}

const machines = () => {
  const { pve, settings } = opened()
  return [...pve.cluster.vms.values()].filter(({ vmid }) => vmid >= settings.vmids.from)
}

function lookAtClones(): void {
  const bySource = Map.groupBy(
    opened().pve.cluster.tasks.all.filter(({ running, type }) => running && type === 'qmclone'),
    ({ id }) => id,
  )
  const counts = [...bySource.values()].map(({ length }) => length)
  clonesMost = Math.max(
    clonesMost,
    counts.reduce((sum, count) => sum + count, 0),
  )
  clonesOfOneMost = Math.max(clonesOfOneMost, ...counts)
}

function tell(): Seen {
  const { pve } = opened()
  const all = pve.journal.entries.at(-1)?.number ?? 0
  const spent = process.cpuUsage(cpu)
  const perNode = Object.fromEntries([...pve.cluster.nodes.keys()].map((name) => [name, machines().filter(({ node }) => node === name).length]))
  const seen = { requests: all - requests, perNode, clonesMost, clonesOfOneMost, cpuMs: (spent.user + spent.system) / 1000 }
  requests = all
  cpu = process.cpuUsage()
  clonesMost = 0
  clonesOfOneMost = 0
  return seen
}
