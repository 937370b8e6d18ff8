/** A Proxmox cluster for tests of the substrate: the stand-in with real guests, a token with the least privileges, a gate, and a store that captures what it is asked for. */
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AutovibeError, type CheckpointId, type MachineId } from '@autovibe/contract'
import { asker } from '../../../../test/proxmox/ask.ts'
import { SandboxGuests } from '../../../../test/proxmox/sandbox-guests.ts'
import { expectOk } from '../../../../test/proxmox/stage.ts'
import { type Options, type ProxmoxStandIn, startProxmox } from '../../../../test/proxmox/stand-in.ts'
import type { StorageType } from '../../../../test/proxmox/storages.ts'
import { openFolderStore } from '../../checkpoints/create-checkpoint-store.ts'
import type { ProjectStore } from '../../checkpoints/store.ts'
import { StoredTrees } from '../../checkpoints/stored-trees.ts'
import { PROJECT, SECRETS } from '../../checkpoints/testing/place.ts'
import { type FreshDatabase, freshDatabase } from '../../database/testing.ts'
import { CONFORMANCE_AGENT, type ConformanceGround } from '../conformance.ts'
import { TOKEN } from '../conformance-stage.ts'
import type { DoorListener, Substrate } from '../substrate.ts'
import type { ProxmoxClient } from './client/client.ts'
import { pveumLines } from './client/privileges.ts'
import { clientOf, credentialsOf } from './client/test-client.ts'
import { createProxmoxSubstrate } from './create-proxmox-substrate.ts'
import { type Gate, openGate } from './gate/open-gate.ts'
import type { ProxmoxSubstrate } from './proxmox-substrate.ts'
import type { ProxmoxPatience, ProxmoxSettings } from './site.ts'

const GIB = 1024 ** 3
const GUEST = fileURLToPath(new URL('../../../guest/main.ts', import.meta.url))
const SITE = { user: 'autovibe@pve', token: 'hub', pool: 'autovibe', storages: ['machines'], bridges: ['vmbr1'] }
const TEMPLATE = 9000
/** As machines dial it; the stand-in joins it to where the gate really listens. */
const GATE = { host: '192.0.2.10', port: 7443 } as const
export const HUB_ID = '0123456789abcdef0123456789abcdef'

export interface ClusterOptions {
  readonly storage: StorageType
  readonly nodes?: number
  /** The program that guests start as the agent. */
  readonly agent?: string
  readonly standIn?: Partial<Options>
}

/** A cluster with a template on each of its nodes, and a token for the Hub. */
export class TestCluster {
  readonly pve: ProxmoxStandIn
  readonly guests: SandboxGuests
  readonly settings: ProxmoxSettings
  /** Of the Hub, with the least privileges: `id=secret`. */
  readonly token: string
  /** Where the gate really is. */
  gatePort = 0

  private constructor(pve: ProxmoxStandIn, guests: SandboxGuests, settings: ProxmoxSettings, token: string) {
    this.pve = pve
    this.guests = guests
    this.settings = settings
    this.token = token
  }

  static async start({ storage, nodes = 1, agent = CONFORMANCE_AGENT, standIn = {} }: ClusterOptions): Promise<TestCluster> {
    let guests: SandboxGuests | undefined
    let cluster: TestCluster | undefined
    const names = Array.from({ length: nodes }, (_, index) => `pve${index + 1}`)
    const pve = await startProxmox({
      secondMs: 4,
      nodes: names.map((name) => ({ name })),
      storages: [{ id: 'machines', type: storage }],
      guests: async (directory) => {
        guests = await SandboxGuests.open({
          root: join(directory, 'guests'),
          command: () => guestCommand(agent),
          reachable: () => [{ address: GATE.host, port: GATE.port, to: { host: '127.0.0.1', port: cluster?.gatePort ?? 0 } }],
        })
        return guests
      },
      ...standIn,
    })
    if (guests === undefined) throw new Error('the stand-in made no guests')
    const token = await letIn(pve)
    const shared = pve.cluster.storages.get('machines').shared
    const templates = (shared ? names.slice(0, 1) : names).map((node, index) => ({ node, vmid: TEMPLATE + index }))
    for (const template of templates) await makeTemplate(pve, template)
    await asker(pve).ask('PUT', '/pools/autovibe', { vms: templates.map(({ vmid }) => vmid).join(',') })
    const settings: ProxmoxSettings = {
      pool: SITE.pool,
      templates,
      storage: 'machines',
      bridge: 'vmbr1',
      vmids: { from: 900_000, to: 900_999 },
      nodes: null,
      gate: GATE,
      ipConfig: () => 'ip=dhcp',
      snapshotsMost: 3,
      withMemory: false,
      defaultLimits: { cores: 1, memory_bytes: GIB, processes: 2048, disk_bytes: GIB, wall_seconds: 3600 },
    }
    cluster = new TestCluster(pve, guests, settings, token)
    return cluster
  }

  client(): ProxmoxClient {
    return clientOf(this.pve, { credentials: credentialsOf(this.token) })
  }

  async close(): Promise<void> {
    await this.pve.close()
    if (this.pve.violations.length > 0) throw new Error(`the stand-in broke its description:\n${this.pve.violations.join('\n')}`)
  }
}

const guestCommand = (agent: string): readonly string[] => [
  process.execPath,
  GUEST,
  ...['--run', '/run/autovibe', '--user', 'none', '--tree-at', 'none', '--rekey-root', 'none'],
  ...['--agent-command', JSON.stringify([process.execPath, agent])],
]

/** As an administrator does it: by the lines that the Hub prints. */
async function letIn(pve: ProxmoxStandIn): Promise<string> {
  let token = ''
  for (const line of pveumLines(SITE)) {
    const answer = (await pve.pveum(line)) as { 'full-tokenid'?: string; value?: string } | null
    if (answer?.value !== undefined) token = `${answer['full-tokenid']}=${answer.value}`
  }
  return token
}

async function makeTemplate(pve: ProxmoxStandIn, { node, vmid }: { readonly node: string; readonly vmid: number }): Promise<void> {
  const root = asker(pve)
  const disk = { scsi0: 'machines:2', ide2: 'machines:cloudinit', net0: 'virtio,bridge=vmbr1,firewall=1' }
  expectOk(await root.task('POST', `/nodes/${node}/qemu`, { vmid, name: `template-${vmid}`, memory: '512', cores: 1, agent: '1', ...disk }))
  expectOk(await root.task('POST', `/nodes/${node}/qemu/${vmid}/template`, {}))
}

/** What one Hub has open on the cluster. */
export interface OpenHub {
  readonly substrate: ProxmoxSubstrate
  readonly gate: Gate
  close(): Promise<void>
}

export async function openHub(
  cluster: TestCluster,
  parts: {
    readonly dataDir: string
    readonly database: FreshDatabase
    readonly door: DoorListener
    readonly trees: Pick<StoredTrees, 'state' | 'tar' | 'changes'>
    readonly tokenOf: (machineId: MachineId) => Promise<string>
    readonly patience?: Partial<ProxmoxPatience>
  },
): Promise<OpenHub> {
  const logger = { info: () => undefined, warn: (fields: object, message: string) => console.error(message, fields) }
  const gate = await openGate({
    listen: { host: '127.0.0.1', port: cluster.gatePort },
    advertised: `${GATE.host}:${GATE.port}`,
    dataDir: parts.dataDir,
    door: parts.door,
    logger,
  })
  cluster.gatePort = gate.port
  const client = cluster.client()
  const substrate = await createProxmoxSubstrate(
    {
      client,
      db: parts.database.db,
      hubId: HUB_ID,
      settings: cluster.settings,
      links: gate,
      trees: parts.trees,
      tokenOf: parts.tokenOf,
      logger,
      patience: { bootMs: 20_000, linkMs: 5_000, storeMs: 10_000, idleMs: 2_000, ...parts.patience },
    },
    AbortSignal.timeout(10_000),
  )
  return {
    substrate,
    gate,
    close: async () => {
      await substrate.close()
      await gate.close()
      await client.close()
    },
  }
}

/** Captures a checkpoint when somebody asks whether it is kept, as the operation behind each checkpoint would. */
class CapturingTrees {
  readonly #stored: StoredTrees
  readonly #store: ProjectStore
  readonly #database: FreshDatabase
  readonly #kept = new Map<CheckpointId, string>()
  readonly #coming = new Map<CheckpointId, Promise<void>>()
  readonly dropped = new Set<CheckpointId>()
  substrate: ProxmoxSubstrate | undefined

  constructor(store: Awaited<ReturnType<typeof openFolderStore>>, database: FreshDatabase) {
    this.#store = store.of(PROJECT)
    this.#database = database
    this.#stored = new StoredTrees(store, async (id) => {
      const manifestSha256 = this.#kept.get(id)
      return manifestSha256 === undefined ? undefined : { projectId: PROJECT, state: 'verified', manifestSha256 }
    })
  }

  async state(id: CheckpointId): Promise<'kept' | 'coming' | 'never'> {
    if (this.dropped.has(id)) return 'never'
    if (this.#kept.has(id)) return 'kept'
    const taken = await this.#database.db
      .selectFrom('proxmox_snapshots')
      .select('checkpoint_id')
      .where('checkpoint_id', '=', id)
      .where('state', '=', 'taken')
      .executeTakeFirst()
    if (taken === undefined) return 'never'
    if (!this.#coming.has(id)) {
      const capture = this.#capture(id).finally(() => this.#coming.delete(id))
      this.#coming.set(id, capture)
    }
    return 'coming'
  }

  tar = (id: CheckpointId, signal: AbortSignal) => this.#stored.tar(id, signal)
  changes = (id: CheckpointId, since: CheckpointId | null, signal: AbortSignal) => this.#stored.changes(id, since, signal)

  async settled(): Promise<void> {
    await Promise.all(this.#coming.values())
  }

  async #capture(id: CheckpointId): Promise<void> {
    const signal = AbortSignal.timeout(60_000)
    try {
      const changes = this.substrate?.changes(id, null, signal)
      if (changes === undefined) return
      const { manifestSha256 } = await this.#store.capture({ checkpointId: id, parent: null, changes }, signal)
      this.#kept.set(id, manifestSha256)
    } catch (error) {
      // Its machine is in another's hands just now; whoever asks again begins again.
      if (!(error instanceof AutovibeError)) throw error
    }
  }
}

export class ProxmoxGround implements ConformanceGround {
  readonly cluster: TestCluster
  readonly #dataDir: string
  readonly #database: FreshDatabase
  readonly #trees: CapturingTrees
  #hub: OpenHub | undefined

  private constructor(cluster: TestCluster, dataDir: string, database: FreshDatabase, trees: CapturingTrees) {
    this.cluster = cluster
    this.#dataDir = dataDir
    this.#database = database
    this.#trees = trees
  }

  static async make(options: ClusterOptions): Promise<ProxmoxGround> {
    const dataDir = await realpath(await mkdtemp(join(tmpdir(), 'avp-')))
    const database = await freshDatabase()
    const trees = new CapturingTrees(await openFolderStore(dataDir, SECRETS), database)
    return new ProxmoxGround(await TestCluster.start(options), dataDir, database, trees)
  }

  async open(door: DoorListener): Promise<Substrate> {
    await this.#trees.settled()
    await this.#hub?.close()
    const hub = await openHub(this.cluster, { dataDir: this.#dataDir, database: this.#database, door, trees: this.#trees, tokenOf: async () => TOKEN })
    this.#hub = hub
    this.#trees.substrate = hub.substrate
    return watched(hub.substrate, (id) => this.#trees.dropped.add(id))
  }

  async crash(machineId: MachineId): Promise<void> {
    const { vmid } = await this.#database.db.selectFrom('proxmox_vms').select('vmid').where('machine_id', '=', machineId).executeTakeFirstOrThrow()
    await this.cluster.guests.running.get(vmid)?.sandbox.kill()
  }

  async dispose(): Promise<void> {
    await this.#trees.settled()
    await this.#hub?.close()
    const left = [...this.cluster.pve.cluster.vms.values()].filter(({ vmid }) => vmid >= this.cluster.settings.vmids.from)
    await this.#database.close()
    await this.cluster.close()
    await rm(this.#dataDir, { recursive: true, force: true })
    if (left.length > 0) throw new Error(`VMs are left: ${left.map(({ vmid }) => vmid).join(', ')}`)
  }
}

/** The row of a checkpoint says that it is gone before its snapshot is dropped. */
function watched(substrate: ProxmoxSubstrate, onDrop: (id: CheckpointId) => void): Substrate {
  return {
    name: substrate.name,
    capabilities: () => substrate.capabilities(),
    findings: () => substrate.findings(),
    create: (machine, signal) => substrate.create(machine, signal),
    start: (id, signal) => substrate.start(id, signal),
    stop: (id, signal) => substrate.stop(id, signal),
    destroy: (id, signal) => substrate.destroy(id, signal),
    snapshot: (id, checkpointId, signal) => substrate.snapshot(id, checkpointId, signal),
    rollback: (id, to, signal) => substrate.rollback(id, to, signal),
    dropSnapshot: (handle, signal) => {
      onDrop(handle as CheckpointId)
      return substrate.dropSnapshot(handle, signal)
    },
    changes: (handle, since, signal) => substrate.changes(handle, since, signal),
    measure: (id, signal) => substrate.measure(id, signal),
    limit: (id, limits, signal) => substrate.limit(id, limits, signal),
    list: (signal) => substrate.list(signal),
  }
}
