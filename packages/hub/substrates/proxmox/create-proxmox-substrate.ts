/** Opens the Proxmox substrate: asks the cluster once what its storage can, and finds the machines that an earlier Hub left. */
import type { Finding, MachineId, MachineLimits } from '@autovibe/contract'
import { placeableBytes } from '@autovibe/core/proxmox/placement.ts'
import { STORAGE_ABILITIES } from '@autovibe/core/proxmox/storage-abilities.ts'
import type { Database } from '../../database/database.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { Capabilities } from '../substrate.ts'
import { ArchiveRecords } from './archives/records.ts'
import type { ProxmoxClient } from './client/client.ts'
import type { AnswerOf } from './client/endpoints.ts'
import { Slots } from './client/slots.ts'
import type { GuestLinks, StoredTrees } from './guest-links.ts'
import { ProxmoxSubstrate } from './proxmox-substrate.ts'
import { VmRecords } from './records.ts'
import { PATIENCE, type ProxmoxLogger, type ProxmoxPatience, type ProxmoxSettings, type Site } from './site.ts'
import { VmMeters } from './vm-meters.ts'

export interface ProxmoxSubstrateOptions {
  readonly client: ProxmoxClient
  readonly db: Database
  readonly hubId: string
  readonly settings: ProxmoxSettings
  readonly links: GuestLinks
  readonly trees: StoredTrees
  /** The machine's own token for door and gateway. */
  readonly tokenOf: (machineId: MachineId) => Promise<string>
  readonly logger: ProxmoxLogger
  readonly patience?: Partial<ProxmoxPatience>
}

/** Parallel clones of one source wait for each other's locks in Proxmox, and some give up. */
const CLONES_MOST = 3
const CLONES_WAITING_MOST = 1_000

export async function createProxmoxSubstrate(options: ProxmoxSubstrateOptions, signal: AbortSignal): Promise<ProxmoxSubstrate> {
  const slots = new Map<number, Slots>()
  const { capabilities, findings, clonesHold } = await ask(options, signal)
  const records = new VmRecords(options.db)
  const site: Site = {
    ...options,
    clonesHold,
    patience: { ...PATIENCE, ...options.patience },
    archives: new ArchiveRecords(options.db),
    records,
    meters: new VmMeters({ client: options.client, records, logger: options.logger }),
    locks: new KeyedLock(),
    clones: (vmid) => {
      const found = slots.get(vmid) ?? new Slots(CLONES_MOST, CLONES_WAITING_MOST)
      slots.set(vmid, found)
      return found
    },
    readers: new Map(),
    neededMs: new Map(),
  }
  return new ProxmoxSubstrate(site, capabilities, findings)
}

/** Of a cluster that has not said yet what its storage can: the least. Whatever is made gets what it really has when it boots. */
export const assumedCapabilities = (defaultLimits: MachineLimits): Capabilities => ({
  tier: { substrate: 'proxmox', isolation: 'I4', copy: 'C1' },
  summary: 'a virtual machine each on Proxmox VE, its firewall lets it reach the Hub alone; the cluster has not answered yet',
  isolated: true,
  liveSnapshot: true,
  constantTimeFork: false,
  defaultLimits,
  most: { ...largest([]), diskBytes: Number.MAX_SAFE_INTEGER },
})

interface Asked {
  readonly capabilities: Capabilities
  readonly findings: readonly Finding[]
  readonly clonesHold: boolean
}

async function ask({ client, settings }: Pick<Site, 'client' | 'settings'>, signal: AbortSignal): Promise<Asked> {
  const { version } = await client.call('GET /version', {}, { signal })
  const [first] = settings.templates
  const storages = first === undefined ? [] : await client.call('GET /nodes/{node}/storage', { node: first.node }, { signal })
  const storage = storages.find((each) => each.storage === settings.storage)
  const nodes = (await client.call('GET /cluster/resources', { type: 'node' }, { signal })).filter(
    ({ type, node }) => type === 'node' && (settings.nodes === null || (node !== undefined && settings.nodes.includes(node))),
  )
  const vms = await client.call('GET /cluster/resources', { type: 'vm' }, { signal })
  const template = vms.find(({ vmid }) => vmid === first?.vmid)
  const abilities = STORAGE_ABILITIES[storage?.type ?? '']
  const shares = abilities?.cloneOfSnapshot === 'linked'
  const kind = storage === undefined ? 'unknown' : storage.type
  const finding = (name: string, ok: boolean, detail: string, fix: string | null): Finding => ({
    area: 'proxmox',
    name,
    status: ok ? 'ok' : 'warning',
    detail,
    fix: ok ? null : fix,
  })
  return {
    clonesHold: abilities?.clonesHoldParent === true,
    capabilities: {
      tier: { substrate: 'proxmox', isolation: 'I4', copy: shares ? 'C3' : 'C1' },
      summary: `a virtual machine each on Proxmox VE ${version}, its firewall lets it reach the Hub alone; ${shares ? 'forks share disks' : 'forks get their files from the checkpoint store'}`,
      isolated: true,
      liveSnapshot: true,
      constantTimeFork: shares,
      defaultLimits: settings.defaultLimits,
      most: { ...largest(nodes), diskBytes: placeableDisk(storage?.total, template?.maxdisk) },
    },
    findings: [
      finding('version', true, `Proxmox VE ${version}`, null),
      finding(
        'storage',
        storage !== undefined,
        storage === undefined
          ? `${first?.node} has no storage ${settings.storage}`
          : `${settings.storage} is ${kind}: ${shares ? 'clones of snapshots share their blocks' : 'machines from checkpoints are clones of the template with the tree from the store'}`,
        'See what is wrong: autovibe substrate probe',
      ),
    ],
  }
}

/** A machine's disk is there beside its template, and once more when it is copied. */
const placeableDisk = (storageBytes: number | undefined, templateBytes = 0): number =>
  storageBytes === undefined ? Number.MAX_SAFE_INTEGER : Math.max(0, Math.floor((storageBytes - templateBytes) / 2))

/** Nodes that do not tell their size are none to go by; where none does, there is no bound to be known. */
function largest(nodes: AnswerOf<'GET /cluster/resources'>): { readonly cores: number; readonly memoryBytes: number } {
  const most = (sizes: readonly (number | undefined)[]): number => Math.max(0, ...sizes.map((size) => size ?? 0)) || Number.MAX_SAFE_INTEGER
  return { cores: most(nodes.map(({ maxcpu }) => maxcpu)), memoryBytes: placeableBytes(most(nodes.map(({ maxmem }) => maxmem))) }
}
