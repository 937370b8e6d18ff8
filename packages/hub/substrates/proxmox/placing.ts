/** On which node a machine is made and what it is cloned from: the facts from Proxmox, the choice in core. */
import { AutovibeError, type CheckpointId, type MachineLimits } from '@autovibe/contract'
import { chooseNode, type NodeFacts, type Promised } from '@autovibe/core/proxmox/placement.ts'
import type { Source, VmRecord } from './records.ts'
import type { Site } from './site.ts'
import { isProxmox } from './vms.ts'

export interface ToPlace {
  readonly limits: MachineLimits
  readonly group: string | null
}

/** Nodes as they are, and what a machine on each of them would be cloned from. */
export interface Choice {
  readonly nodes: readonly NodeFacts[]
  readonly sourceOn: (node: string) => Source | undefined
}

/** A clone of a template. */
export async function templateChoice(site: Site, signal: AbortSignal): Promise<Choice> {
  const storage = await storageFacts(site, signal)
  const { templates } = site.settings
  const sourceOn = (node: string): Source | undefined => {
    const template = templates.find((each) => each.node === node) ?? (storage.isShared ? templates[0] : undefined)
    return template && { ...template, snapshot: null }
  }
  return { nodes: await nodeFacts(site, storage, sourceOn, signal), sourceOn }
}

/** A clone of a snapshot of this VM; null where its storage cannot share it. */
export async function snapshotChoice(
  site: Site,
  origin: { readonly vmid: number; readonly node: string; readonly snapshot: CheckpointId },
  signal: AbortSignal,
): Promise<Choice | null> {
  const { vmid, node: at, snapshot } = origin
  const { hasFeature } = await site.client.call('GET /nodes/{node}/qemu/{vmid}/feature', { node: at, vmid, feature: 'clone', snapname: snapshot }, { signal })
  if (!hasFeature) return null
  const storage = await storageFacts(site, signal)
  const source = { vmid, node: at, snapshot }
  const sourceOn = (node: string): Source | undefined => (storage.isShared || node === at ? source : undefined)
  return { nodes: await nodeFacts(site, storage, sourceOn, signal), sourceOn }
}

/** Takes the best place of the first choice that has one. The rows of all machines say what is promised, so that one is placed at a time and its row written before the next. */
export async function choosePlace(
  site: Site,
  { limits, group }: ToPlace,
  choices: readonly Choice[],
): Promise<{ readonly node: string; readonly source: Source }> {
  const promised = (await site.records.all()).flatMap(promisedBy)
  const wish = { memoryBytes: limits.memory_bytes, cores: limits.cores, diskBytes: limits.disk_bytes, group }
  let refused = ''
  for (const { nodes, sourceOn } of choices) {
    const placement = chooseNode(nodes, promised, wish)
    const source = 'node' in placement ? sourceOn(placement.node) : undefined
    if ('node' in placement && source !== undefined) return { node: placement.node, source }
    if ('refused' in placement) refused = placement.refused
  }
  throw new AutovibeError('substrate.unavailable', `No node has room for the machine: ${refused}.`, {
    fix: 'Destroy or stop machines that nobody needs, or give the machine smaller limits.',
  })
}

interface StorageFacts {
  readonly isShared: boolean
  /** By node; a node without the storage has none. */
  readonly freeBytes: ReadonlyMap<string, number | null>
}

/** None for a machine that is off. One that is on its way does not show yet in what its node says of its memory. */
function promisedBy({ node, machine_group: group, limits, state, agent, tree }: VmRecord): Promised[] {
  const isPending = state === 'making' || (!agent && tree !== null)
  return agent || isPending ? [{ node, group, memoryBytes: limits.memory_bytes, cores: limits.cores, isPending }] : []
}

async function nodeFacts(site: Site, storage: StorageFacts, sourceOn: Choice['sourceOn'], signal: AbortSignal): Promise<NodeFacts[]> {
  const wanted = site.settings.nodes
  const listed = await site.client.call('GET /cluster/resources', { type: 'node' }, { signal })
  return listed.flatMap(({ type, node: name, status, hastate, maxcpu = 0, cpu = 0, maxmem = 0, mem = 0 }) => {
    if (type !== 'node' || name === undefined || (wanted !== null && !wanted.includes(name))) return []
    const freeDiskBytes = storage.freeBytes.get(name)
    return {
      name,
      online: status === 'online',
      inMaintenance: hastate === 'maintenance',
      cores: maxcpu,
      load: cpu,
      memoryBytes: maxmem,
      freeMemoryBytes: maxmem - mem,
      freeDiskBytes: freeDiskBytes ?? null,
      hasSource: freeDiskBytes !== undefined && sourceOn(name) !== undefined,
    }
  })
}

async function storageFacts(site: Site, signal: AbortSignal): Promise<StorageFacts> {
  const nodes = (await site.client.call('GET /nodes', {}, { signal })).filter(({ status }) => status === 'online')
  const found = await Promise.all(
    nodes.map(async ({ node }) => {
      try {
        const storages = await site.client.call('GET /nodes/{node}/storage', { node }, { signal })
        return { node, storage: storages.find(({ storage }) => storage === site.settings.storage) }
      } catch (error) {
        // A node that went away just now is none to place on; one that is asked in vain for another reason is told.
        if (isProxmox(error, 'node unreachable', 'timed out')) return { node, storage: undefined }
        throw error
      }
    }),
  )
  const there = found.flatMap(({ node, storage }) =>
    storage === undefined || storage.enabled === false || storage.active === false ? [] : [{ node, storage }],
  )
  if (there.length === 0)
    throw new AutovibeError('substrate.unavailable', `No node that is online has the storage ${site.settings.storage}.`, {
      fix: 'See what is wrong: autovibe substrate probe',
    })
  return {
    isShared: there.every(({ storage }) => storage.shared === true),
    freeBytes: new Map(there.map(({ node, storage }) => [node, storage.avail ?? null])),
  }
}
