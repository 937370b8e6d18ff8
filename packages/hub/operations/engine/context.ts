/** What every part of the engine works with, and how a record is written under a claim. */
import { AutovibeError, asAutovibeError, type EventType, type Json } from '@autovibe/contract'
import type { OperationNodeSource, Selectable } from 'kysely'
import { along } from '../../database/along.ts'
import type { Database, Tx } from '../../database/database.ts'
import { eventRows, type NewEvent, recordEvent } from '../../database/events.ts'
import type { OperationsTable } from '../../database/schema.ts'
import type { Runtime } from '../../runtime.ts'
import type { AnyOperation, AnyStep, Registry, StepContext } from './define.ts'
import { LEASE_MS } from './limits.ts'

export interface EngineLog {
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

export interface EngineContext {
  readonly db: Database
  readonly runtime: Runtime
  readonly registry: Registry
  /** Handed to every step as it is. */
  readonly ports: unknown
  /** Names this Hub process in leases. */
  readonly owner: string
  readonly log: EngineLog
  /** Raised when this Hub ends: what is under way is handed back as it stands. */
  readonly stopping?: AbortSignal
}

export type OperationRow = Selectable<OperationsTable>

/** One Hub's right to advance one operation, until its lease runs out or a higher fence is given. */
export interface Claim {
  readonly id: OperationRow['id']
  readonly fence: bigint
}

/** This Hub ends; the operation goes on with the next one. */
export class Stopping extends Error {
  override readonly name = 'Stopping'
}

/** Another Hub has the operation now; whatever was being done is no longer ours to record. */
export class LostClaim extends Error {
  override readonly name = 'LostClaim'
}

/** Runs `work` in one transaction that holds the operation's row under this claim. Throws `LostClaim` when the fence has moved on. */
export function recordUnder<T>(engine: EngineContext, claim: Claim, work: (tx: Tx, row: OperationRow) => Promise<T>): Promise<T> {
  return engine.db.transaction().execute(async (tx) => {
    const row = await tx.selectFrom('operations').selectAll().where('id', '=', claim.id).where('fence', '=', claim.fence).forUpdate().executeTakeFirst()
    if (!row) throw new LostClaim(`operation ${claim.id} was claimed by another Hub`)
    return work(tx, row)
  })
}

export function leaseFrom(engine: EngineContext): Date {
  return new Date(engine.runtime.now().getTime() + LEASE_MS)
}

export function definitionOf(engine: EngineContext, row: OperationRow): AnyOperation {
  const definition = engine.registry.get(row.kind)
  if (!definition)
    throw new AutovibeError('internal', `This Hub does not know the operation ${row.kind}.`, { fix: 'Run the version of autovibe that began it.' })
  return definition
}

/** The definition of a stored step: by its name, so that a list that has grown since still fits. */
export function stepOf(definition: AnyOperation, row: OperationRow, index: number): AnyStep {
  const name = row.steps[index]
  const step = definition.steps.find((candidate) => candidate.name === name)
  if (!step) throw new AutovibeError('internal', `This Hub does not know the step ${name} of ${row.kind}.`)
  return step
}

export function contextFor(
  engine: EngineContext,
  definition: AnyOperation,
  row: OperationRow,
  signal: AbortSignal,
): StepContext<unknown, unknown, Record<string, Json>> {
  return {
    operationId: row.id,
    input: definition.inputSchema.parse(row.input),
    outputs: row.outputs,
    ports: engine.ports,
    now: engine.runtime.now(),
    reason: row.error ? { code: row.error.code, message: row.error.message, fix: row.error.fix } : null,
    signal,
  }
}

export type StepChange = 'running' | 'done' | 'failed' | 'undoing' | 'undone'

/** The statements that record the step's new state, with its event; for `along`. */
export function stepMarks(tx: Tx, engine: EngineContext, row: OperationRow, index: number, state: StepChange): OperationNodeSource[] {
  const { marking, news } = stepMark(tx, engine, row, index, state)
  return [marking, ...(news.length === 0 ? [] : [eventRows(tx, engine.runtime, news)])]
}

/** The same as the statement and the events. */
export function stepMark(
  tx: Tx,
  engine: EngineContext,
  row: OperationRow,
  index: number,
  state: StepChange,
): { readonly marking: OperationNodeSource; readonly news: readonly NewEvent[] } {
  const now = engine.runtime.now()
  const begins = state === 'running' || state === 'undoing'
  const marking = tx
    .updateTable('operation_steps')
    .set((eb) => ({
      state,
      attempts: begins ? eb('attempts', '+', 1) : eb.ref('attempts'),
      started_at: state === 'running' ? eb.fn.coalesce('started_at', eb.val(now)) : eb.ref('started_at'),
      ended_at: begins ? null : now,
    }))
    .where('operation_id', '=', row.id)
    .where('index', '=', index)
  // Another attempt is no news.
  if (begins && row.step_attempts > 0) return { marking, news: [] }
  const data = { kind: row.kind, step: row.steps[index] ?? '', state }
  return { marking, news: [operationEvent(row, 'operation.step_changed', data)] }
}

/** Changes the operation's row, with what is to be recorded along with it. */
export function updateRow(
  tx: Tx,
  engine: EngineContext,
  row: OperationRow,
  change: Partial<Record<keyof OperationRow, unknown>>,
  ...records: readonly OperationNodeSource[]
): Promise<OperationRow> {
  return rowUpdate(along(tx, ...records), engine, row, change).executeTakeFirstOrThrow()
}

/** The statement that changes it, and answers the row. */
export const rowUpdate = (tx: Tx, engine: EngineContext, row: OperationRow, change: Partial<Record<keyof OperationRow, unknown>>) =>
  tx
    .updateTable('operations')
    .set({ lease_expires_at: leaseFrom(engine), ...(change as object) })
    .where('id', '=', row.id)
    .returningAll()

export function recordOperationEvent(tx: Tx, engine: EngineContext, row: OperationRow, type: EventType, data: Record<string, Json>): Promise<void> {
  return recordEvent(tx, engine.runtime, operationEvent(row, type, data))
}

export function operationEvent(row: OperationRow, type: EventType, data: Record<string, Json>): NewEvent {
  const { id: operation_id, project_id, machine_id, run_id, checkpoint_id } = row
  return { type, operation_id, project_id, machine_id, run_id, checkpoint_id, data }
}

/** PostgreSQL's own "try again": serialization failure, deadlock, lost connection, server going down. */
const RETRYABLE_SQLSTATE = /^(40001|40P01|08...|57P0[1-3]|53300)$/
/** What pg, its pool and Kysely's rollback on a dead connection say without a code. */
const RETRYABLE_WORDS = /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|Query read timeout)/
const RETRYABLE_SYSTEM = new Set(['ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'ETIMEDOUT', 'EAGAIN'])

/** What a step threw, as our error; database hiccups count as retryable. */
export function stepError(thrown: unknown): AutovibeError {
  if (thrown instanceof AutovibeError) return thrown
  const { code, constraint } = (thrown ?? {}) as { code?: unknown; constraint?: unknown }
  if (constraint === 'operations_one_exclusive_per_machine') return new AutovibeError('conflict.busy', 'Another operation has the machine.', { cause: thrown })
  const isLost = code === undefined && thrown instanceof Error && RETRYABLE_WORDS.test(thrown.message)
  if (isLost || (typeof code === 'string' && (RETRYABLE_SQLSTATE.test(code) || RETRYABLE_SYSTEM.has(code)))) {
    return new AutovibeError('hub.database', 'The database did not answer.', { cause: thrown, internal: String(thrown), retryable: true })
  }
  return asAutovibeError(thrown)
}

/** A call that does not come back is left behind; the sweep finds what it does later. */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal, step: string, stopping: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () =>
      reject(stopping?.aborted ? new Stopping() : new AutovibeError('operation.deadline', `The step "${step}" did not answer in time.`, { retryable: true }))
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
