/** Opens what machines are made on: this host, or the cluster that a person has chosen for this Hub. */
import { fileURLToPath } from 'node:url'
import { AutovibeError, type MachineId, splitEndpoint } from '@autovibe/contract'
import type { CheckpointStore } from './checkpoints/store.ts'
import { findIn, StoredTrees } from './checkpoints/stored-trees.ts'
import type { HubConfig } from './config.ts'
import type { Database } from './database/database.ts'
import type { Logger } from './observability/logger.ts'
import type { TokenFor } from './security/machine-tokens.ts'
import { gateKeySealing, type Secrets } from './security/secrets.ts'
import { readCluster, readSubstrateInUse } from './substrate-in-use.ts'
import { createLocalSubstrate } from './substrates/local/create-local-substrate.ts'
import { systemClock } from './substrates/proxmox/client/clock.ts'
import { defaultLimitsOf, driverSettings, openClient, type ProxmoxCluster } from './substrates/proxmox/cluster.ts'
import { assumedCapabilities, createProxmoxSubstrate } from './substrates/proxmox/create-proxmox-substrate.ts'
import { type Gate, openGate } from './substrates/proxmox/gate/open-gate.ts'
import { LateSubstrate, type OpenDriver } from './substrates/proxmox/late-substrate.ts'
import { VmRecords } from './substrates/proxmox/records.ts'
import type { DoorListener, Substrate } from './substrates/substrate.ts'

const CHECKOUT = fileURLToPath(new URL('../../', import.meta.url))

export interface OpenSubstrate {
  readonly substrate: Substrate
  /** Machines find the tools of agents in their templates, not in the data directory. */
  readonly bringsAgents: boolean
  close(): Promise<void>
}

export async function openLocal(config: HubConfig, agentsDir: string, door: DoorListener, logger: Logger): Promise<OpenSubstrate> {
  const substrate = await createLocalSubstrate({
    dataDir: config.dataDir,
    agentCode: { root: CHECKOUT },
    agentsDir,
    nodePath: process.execPath,
    door,
    logger,
    warmMost: config.warmMachines,
    ...(config.isolation ? { isolation: config.isolation } : {}),
    ...(config.copy ? { copy: config.copy } : {}),
  })
  return { substrate, bringsAgents: false, close: () => substrate.close() }
}

export interface SubstrateParts {
  readonly db: Database
  readonly secrets: Secrets
  readonly store: CheckpointStore
  readonly door: DoorListener
  readonly tokenFor: TokenFor
  readonly hubId: () => Promise<string>
  readonly dataDir: string
  readonly logger: Logger
}

/** The one in use, which only the database knows; the local one, opened meanwhile, is closed again when it is another. */
export async function openInUse(local: OpenSubstrate, parts: SubstrateParts): Promise<OpenSubstrate> {
  const cluster = await readSubstrateInUse(parts.db, parts.secrets, parts.logger)
  if (cluster === null) return local
  await local.close()
  return openProxmox(cluster, parts)
}

async function openProxmox(cluster: ProxmoxCluster, parts: SubstrateParts): Promise<OpenSubstrate> {
  const { db, secrets, door, dataDir, logger } = parts
  const { listen, advertised } = cluster.config.gate
  const at = splitEndpoint(listen)
  if (at === null) throw new AutovibeError('internal', 'A gate was kept that is no address and port.', { internal: listen })
  // Machines that run find their Hub whether or not the cluster answers.
  const gate = await openGate({ listen: at, advertised, db, sealing: gateKeySealing(secrets), dataDir, door, logger })
  const substrate = new LateSubstrate({
    cluster: cluster.name,
    assumed: assumedCapabilities(defaultLimitsOf(cluster.config)),
    open: (signal) => openDriver(cluster, gate, parts, signal),
    settingsVersion: async () =>
      String((await db.selectFrom('substrates').select('version').where('name', '=', cluster.name).executeTakeFirstOrThrow()).version),
    wasAskedFor: async (machineId) => (await new VmRecords(db).find(machineId)) !== null,
    forget: (machineId) => gate.forget(machineId),
    clock: systemClock,
    logger,
  })
  await substrate.begin()
  const close = async (): Promise<void> => {
    await substrate.close()
    await gate.close()
  }
  return { substrate, bringsAgents: true, close }
}

async function openDriver(served: ProxmoxCluster, gate: Gate, parts: SubstrateParts, signal: AbortSignal): Promise<OpenDriver> {
  const { db, secrets, store, tokenFor, hubId, logger } = parts
  const { config, ...now } = await readCluster(db, secrets, served.name)
  // The gate is open already, where it was told to be at the start.
  const cluster = { ...now, config: { ...config, gate: served.config.gate } }
  const client = openClient(cluster)
  try {
    const settings = await driverSettings(client, cluster, signal)
    const tokenOf = async (machineId: MachineId): Promise<string> => {
      const { token_hash } = await db.selectFrom('machines').select('token_hash').where('id', '=', machineId).executeTakeFirstOrThrow()
      return tokenFor(machineId, token_hash)
    }
    const trees = new StoredTrees(store, findIn(db))
    const substrate = await createProxmoxSubstrate({ client, db, hubId: await hubId(), settings, links: gate, trees, tokenOf, logger }, signal)
    const close = async (): Promise<void> => {
      await substrate.close()
      await client.close()
    }
    return { substrate, close }
  } catch (error) {
    await client.close()
    throw error
  }
}
