/** What Prometheus scrapes: counted as it happens, or read from the database when somebody looks. Names follow Prometheus' conventions: base units, plural never. */
import { CHECKPOINT_TRIGGERS, type CheckpointTrigger, type ProjectId } from '@autovibe/contract'
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Database } from '../database/database.ts'
import type { Runtime } from '../runtime.ts'

/** Each project is a series of its own; those with the newest checkpoints come first. */
const PROJECTS_MAX = 50
const SIZES_AT_ONCE = 8
/** A store far away is asked for its size by listing it. */
const SIZES_KEPT_MS = 60_000
/** From what is hoped for to what is a fault, in seconds. */
const PAUSE_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60]

export interface StoreSize {
  readonly storedBytes: number
  readonly uniqueBytes: number
}

export interface MetricsOptions {
  readonly db: Database
  readonly runtime: Runtime
  readonly sizeOf: (projectId: ProjectId) => Promise<StoreSize>
  /** Told of a store that could not be asked; all other figures are given all the same. */
  readonly onError: (error: unknown) => void
}

export interface Metrics {
  /** Of what `text` gives. */
  readonly contentType: string
  /** All of it as of now, but sizes of stores, which may be a minute old. */
  text(): Promise<string>
  /** An agent has waited so long for the checkpoint that it asked for. */
  checkpointWaited(trigger: CheckpointTrigger, seconds: number): void
}

/** One registry for each Hub, so that two in one process do not count together. */
export function createMetrics({ db, runtime, sizeOf, onError }: MetricsOptions): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) => new Gauge({ name, help, labelNames, registers: [registry] })

  const pause = new Histogram({
    name: 'autovibe_checkpoint_pause_seconds',
    help: 'How long an agent stood still for a checkpoint that it asked for',
    labelNames: ['trigger'],
    buckets: PAUSE_BUCKETS,
    registers: [registry],
  })
  // There from the first scrape, so that a rate over it is never of nothing.
  for (const trigger of CHECKPOINT_TRIGGERS) pause.zero({ trigger })
  const machines = gauge('autovibe_machines', 'Machines that are not destroyed', ['state'])
  const operations = gauge('autovibe_operations', 'Operations that have not ended; stuck ones wait for a person', ['kind', 'state'])
  const checkpoints = gauge('autovibe_checkpoints', 'Checkpoints that are kept', ['project', 'state'])
  const logical = gauge('autovibe_checkpoint_logical_bytes', 'Bytes of the files of all verified checkpoints together', ['project'])
  const unique = gauge('autovibe_checkpoint_unique_bytes', 'What the store holds of them, each content once, as it is when unpacked', ['project'])
  const stored = gauge('autovibe_checkpoint_stored_bytes', 'What that takes where it lies', ['project'])
  const dedup = gauge('autovibe_checkpoint_dedup_ratio', 'Logical bytes for each unique byte', ['project'])
  const compression = gauge('autovibe_checkpoint_compression_ratio', 'Unique bytes for each stored byte', ['project'])

  const sizes = new Map<ProjectId, { readonly size: StoreSize; readonly atMs: number }>()
  /** Where it cannot be had now, the last one stays. */
  async function learnSize(projectId: ProjectId): Promise<void> {
    const now = runtime.now().getTime()
    const known = sizes.get(projectId)
    if (known !== undefined && now - known.atMs < SIZES_KEPT_MS) return
    try {
      sizes.set(projectId, { size: await sizeOf(projectId), atMs: now })
    } catch (error) {
      onError(error)
    }
  }

  async function readDatabase(): Promise<void> {
    const count = db.fn.countAll<bigint>().as('count')
    const [byMachine, byOperation, byCheckpoint] = await Promise.all([
      db.selectFrom('machines').select(['state', count]).where('destroyed_at', 'is', null).groupBy('state').execute(),
      db.selectFrom('operations').select(['kind', 'state', count]).where('ended_at', 'is', null).groupBy(['kind', 'state']).execute(),
      db
        .selectFrom('checkpoints')
        .innerJoin('projects', 'projects.id', 'checkpoints.project_id')
        .select(['projects.id', 'projects.name', 'checkpoints.state', count, db.fn.sum<string | null>('bytes').as('bytes')])
        .select((eb) => eb.fn.max('checkpoints.created_at').as('newest'))
        .where('checkpoints.state', '<>', 'expired')
        .groupBy(['projects.id', 'projects.name', 'checkpoints.state'])
        .orderBy('newest', 'desc')
        .execute(),
    ])
    for (const each of [machines, operations, checkpoints, logical, unique, stored, dedup, compression]) each.reset()
    for (const { state, count } of byMachine) machines.set({ state }, Number(count))
    for (const { kind, state, count } of byOperation) operations.set({ kind, state }, Number(count))
    const shown = new Map([...new Map(byCheckpoint.map(({ id, name }) => [id, name]))].slice(0, PROJECTS_MAX))
    for (const { id, name: project, state, count, bytes } of byCheckpoint) {
      if (!shown.has(id)) continue
      checkpoints.set({ project, state }, Number(count))
      if (state === 'verified') logical.set({ project }, Number(bytes ?? 0))
    }
    const logicalOf = new Map(byCheckpoint.filter(({ state }) => state === 'verified').map(({ id, bytes }) => [id, Number(bytes ?? 0)]))
    const ids = [...shown.keys()]
    for (let from = 0; from < ids.length; from += SIZES_AT_ONCE) await Promise.all(ids.slice(from, from + SIZES_AT_ONCE).map(learnSize))
    for (const [id, project] of shown) {
      const size = sizes.get(id)?.size
      if (size === undefined) continue
      const { storedBytes, uniqueBytes } = size
      unique.set({ project }, uniqueBytes)
      stored.set({ project }, storedBytes)
      if (uniqueBytes > 0) dedup.set({ project }, (logicalOf.get(id) ?? 0) / uniqueBytes)
      if (storedBytes > 0) compression.set({ project }, uniqueBytes / storedBytes)
    }
    for (const id of sizes.keys()) if (!shown.has(id)) sizes.delete(id)
  }

  // Two scrapes at once look once: a gauge that is being filled anew must not be read half.
  let looking: Promise<string> | null = null
  return {
    contentType: registry.contentType,
    text() {
      looking ??= readDatabase()
        .then(() => registry.metrics())
        .finally(() => {
          looking = null
        })
      return looking
    },
    checkpointWaited: (trigger, seconds) => pause.observe({ trigger }, seconds),
  }
}
