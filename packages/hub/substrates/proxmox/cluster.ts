/** A cluster as a person has brought it, the secret of its token included: the client that follows from it, and what the driver goes by. */
import { AutovibeError, type MachineLimits, type ProxmoxConfig, splitEndpoint } from '@autovibe/contract'
import { ipconfigOf } from '@autovibe/core/proxmox/addresses.ts'
import { ProxmoxClient } from './client/client.ts'
import type { ClientLimits } from './client/limits.ts'
import type { ProxmoxSettings } from './site.ts'

export interface ProxmoxCluster {
  /** Of the substrate. */
  readonly name: string
  readonly config: ProxmoxConfig
  readonly tokenSecret: string
}

const MIB = 1024 ** 2
/** Of a machine for which nobody says otherwise, beside cores and memory. */
const LIMITS: Omit<MachineLimits, 'cores' | 'memory_bytes'> = { processes: 2_048, disk_bytes: 16 * 1024 ** 3, wall_seconds: 86_400 }

export const defaultLimitsOf = ({ cores, memory_mib }: ProxmoxConfig): MachineLimits => ({ ...LIMITS, cores, memory_bytes: memory_mib * MIB })

/** The caller closes it. */
export function openClient({ config, tokenSecret }: ProxmoxCluster, limits?: Partial<ClientLimits>): ProxmoxClient {
  return new ProxmoxClient({
    doors: config.doors.map(({ url, fingerprint }) => ({ url, ...(fingerprint === null ? {} : { fingerprint }) })),
    ...(config.ca === null ? {} : { ca: config.ca }),
    credentials: { kind: 'token', id: config.token_id, secret: tokenSecret },
    ...(limits === undefined ? {} : { limits }),
  })
}

/** What the driver goes by. Where a template is that was brought without its node, the cluster says. */
export async function driverSettings(client: ProxmoxClient, { name, config }: ProxmoxCluster, signal: AbortSignal): Promise<ProxmoxSettings> {
  const { network, vmids } = config
  const gate = splitEndpoint(config.gate.advertised)
  if (gate === null) throw new AutovibeError('internal', 'A gate was kept that is no address and port.', { internal: config.gate.advertised })
  const staticNetwork = network.kind === 'static' ? network : null
  const nameserver = staticNetwork?.nameserver ?? undefined
  return {
    pool: config.pool,
    templates: await placed(client, name, config.templates, signal),
    storage: config.storage,
    bridge: config.bridge,
    vmids,
    nodes: config.nodes,
    gate,
    ipConfig: (vmid) => ipconfigOf(staticNetwork, vmids, vmid),
    ...(nameserver === undefined ? {} : { nameserver }),
    spread: config.spread_projects,
    snapshotsMost: config.snapshots_most,
    withMemory: config.include_ram,
    archive: { storage: config.archive, keep: config.archives_kept, tokenId: config.token_id },
    defaultLimits: defaultLimitsOf(config),
  }
}

async function placed(client: ProxmoxClient, name: string, templates: ProxmoxConfig['templates'], signal: AbortSignal): Promise<ProxmoxSettings['templates']> {
  const resources = templates.every(({ node }) => node !== null) ? [] : await client.call('GET /cluster/resources', { type: 'vm' }, { signal })
  return templates.map(({ vmid, node }) => {
    const at = node ?? resources.find((resource) => resource.vmid === vmid)?.node
    if (at === undefined)
      throw new AutovibeError('substrate.failed', `The cluster ${name} has no template ${vmid} that the Hub's token may see.`, {
        fix: `autovibe substrate probe ${name}`,
      })
    return { vmid, node: at }
  })
}
