/** What the conformance suite plays on: a cluster for tests, and a store that captures what it is asked for. */
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AutovibeError, type CheckpointId, type MachineId } from '@autovibe/contract'
import type { StoredState } from '@autovibe/core/proxmox/held-trees.ts'
import { openFolderStore } from '../../checkpoints/create-checkpoint-store.ts'
import type { ProjectStore } from '../../checkpoints/store.ts'
import { StoredTrees } from '../../checkpoints/stored-trees.ts'
import { PROJECT, SECRETS } from '../../checkpoints/testing/place.ts'
import { type FreshDatabase, freshDatabase } from '../../database/testing.ts'
import type { ConformanceGround } from '../conformance.ts'
import { TOKEN } from '../conformance-stage.ts'
import type { DoorListener, Substrate } from '../substrate.ts'
import type { GateOptions } from './gate/open-gate.ts'
import type { ProxmoxSubstrate } from './proxmox-substrate.ts'
import type { ProxmoxPatience, ProxmoxSettings } from './site.ts'
import { type ClusterOptions, type OpenHub, openHub, TestCluster } from './test-cluster.ts'

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

  async state(id: CheckpointId): Promise<StoredState> {
    if (this.dropped.has(id)) return 'gone'
    if (this.#kept.has(id)) return 'kept'
    const taken = await this.#database.db
      .selectFrom('proxmox_snapshots')
      .select('checkpoint_id')
      .where('checkpoint_id', '=', id)
      .where('state', '=', 'taken')
      .executeTakeFirst()
    if (taken === undefined) return 'gone'
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

const ROUNDS_MAX = 4

/** For guests that take their time. */
export interface Patience {
  readonly substrate?: Partial<ProxmoxPatience>
  readonly gate?: GateOptions['limits']
}

export class ProxmoxGround implements ConformanceGround {
  readonly cluster: TestCluster
  /** For the next Hub that is opened. */
  settings: Partial<ProxmoxSettings> = {}
  readonly #patience: Patience
  readonly #dataDir: string
  readonly #database: FreshDatabase
  readonly #trees: CapturingTrees
  #hub: OpenHub | undefined

  private constructor(cluster: TestCluster, patience: Patience, dataDir: string, database: FreshDatabase, trees: CapturingTrees) {
    this.#patience = patience
    this.cluster = cluster
    this.#dataDir = dataDir
    this.#database = database
    this.#trees = trees
  }

  static async make(options: ClusterOptions, patience: Patience = {}): Promise<ProxmoxGround> {
    const dataDir = await realpath(await mkdtemp(join(tmpdir(), 'avp-')))
    const database = await freshDatabase()
    const trees = new CapturingTrees(await openFolderStore(dataDir, SECRETS), database)
    return new ProxmoxGround(await TestCluster.start(options), patience, dataDir, database, trees)
  }

  async open(door: DoorListener): Promise<Substrate> {
    await this.#trees.settled()
    await this.#hub?.close()
    const hub = await openHub(this.cluster, {
      dataDir: this.#dataDir,
      database: this.#database,
      door,
      trees: this.#trees,
      tokenOf: async () => TOKEN,
      patience: this.#patience.substrate ?? {},
      gateLimits: this.#patience.gate,
      settings: this.settings,
    })
    this.#hub = hub
    this.#trees.substrate = hub.substrate
    return watched(hub.substrate, (id) => this.#trees.dropped.add(id))
  }

  async vmidOf(machineId: MachineId): Promise<number> {
    return (await this.#database.db.selectFrom('proxmox_vms').select('vmid').where('machine_id', '=', machineId).executeTakeFirstOrThrow()).vmid
  }

  async crash(machineId: MachineId): Promise<void> {
    await this.cluster.guests.crash(await this.vmidOf(machineId))
  }

  async dispose(): Promise<void> {
    await this.#trees.settled()
    const left = () => [...this.cluster.pve.cluster.vms.values()].filter(({ vmid }) => vmid >= this.cluster.settings.vmids.from)
    // What stays because clones grew out of it goes after them, as at the sweeps of a Hub.
    for (let round = 0; round < ROUNDS_MAX && left().length > 0; round++) {
      await this.#hub?.substrate.list(AbortSignal.timeout(10_000))
      await this.#hub?.substrate.settled()
    }
    await this.#hub?.close()
    await this.#database.close()
    await this.cluster.close()
    await rm(this.#dataDir, { recursive: true, force: true })
    if (left().length > 0)
      throw new Error(
        `VMs are left: ${left()
          .map(({ vmid }) => vmid)
          .join(', ')}`,
      )
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
