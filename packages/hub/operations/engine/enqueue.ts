/** Puts an operation into the transaction of the request that asked for it. */
import { AutovibeError, type CheckpointId, type MachineId, type OperationId, type ProjectId, type RunId } from '@autovibe/contract'
import { sql } from 'kysely'
import type { z } from 'zod'
import { along } from '../../database/along.ts'
import type { Tx } from '../../database/database.ts'
import { eventRows, type NewEvent } from '../../database/events.ts'
import type { Runtime } from '../../runtime.ts'
import type { OperationRow } from './context.ts'
import type { AnyOperation } from './define.ts'
import { wake, wakes } from './wake.ts'

export interface Subject {
  readonly projectId: ProjectId | null
  readonly machineId: MachineId | null
  readonly runId?: RunId | null
  readonly checkpointId?: CheckpointId | null
}

/** Inserts the operation with its step list; it begins when the transaction commits. `conflict.busy` when another exclusive one has the machine. */
export async function enqueue<O extends AnyOperation>(
  tx: Tx,
  runtime: Runtime,
  operation: O,
  input: z.input<O['inputSchema']>,
  subject: Subject,
): Promise<OperationId> {
  if (operation.exclusive && subject.machineId) await assertMachineFree(tx, subject.machineId)
  return (await insertOperation(tx, runtime, operation, input, subject, null)).id
}

/** Who has it from the first moment on: nobody is woken for it then. */
export interface Lease {
  readonly owner: string
  readonly expiresAt: Date
}

/** The row; `conflict.busy` when another exclusive one has the machine. */
export function insertOperation<O extends AnyOperation>(
  tx: Tx,
  runtime: Runtime,
  operation: O,
  input: z.input<O['inputSchema']>,
  { projectId: project_id, machineId: machine_id, runId: run_id = null, checkpointId: checkpoint_id = null }: Subject,
  lease: Lease | null,
): Promise<OperationRow> {
  const id = runtime.newId('operation')
  const now = runtime.now()
  const steps = tx
    .insertInto('operation_steps')
    .values(
      operation.steps.map(({ name, kind }, index) => ({ operation_id: id, index, name, kind, state: 'waiting' as const, started_at: null, ended_at: null })),
    )
  const news: NewEvent = { type: 'operation.created', operation_id: id, project_id, machine_id, run_id, checkpoint_id, data: { kind: operation.kind } }
  const inserted = along(tx, steps, eventRows(tx, runtime, [news]))
    .insertInto('operations')
    .values({
      id,
      kind: operation.kind,
      version: operation.version,
      steps: operation.steps.map((step) => step.name),
      input: JSON.stringify(operation.inputSchema.parse(input)),
      project_id,
      machine_id,
      run_id,
      checkpoint_id,
      exclusive: operation.exclusive,
      state: lease === null ? 'pending' : 'running',
      step_started_at: null,
      cancel_requested_at: null,
      wake_at: now,
      lease_owner: lease?.owner ?? null,
      lease_expires_at: lease?.expiresAt ?? null,
      fence: lease === null ? 0n : 1n,
      created_at: now,
      ended_at: null,
    })
    .returningAll()
  return (lease === null ? inserted.returning(wakes(machine_id ?? id).as('woken')) : inserted)
    .executeTakeFirstOrThrow()
    .catch((error: { code?: string; constraint?: string }) => {
      // Two requests passed the look at once; the index lets one in.
      if (error.code === '23505' && error.constraint === 'operations_one_exclusive_per_machine') throw busy()
      throw error
    })
}

/** Asks for an end; the engine reads it between steps. */
export async function requestCancel(tx: Tx, runtime: Runtime, operationId: OperationId): Promise<void> {
  await tx
    .updateTable('operations')
    .set({ cancel_requested_at: sql`coalesce(cancel_requested_at, ${runtime.now()})`, wake_at: runtime.now() })
    .where('id', '=', operationId)
    .where('ended_at', 'is', null)
    .execute()
  await wake(tx, operationId)
}

/** Throws `conflict.busy`, which names the exclusive operation that has the machine. */
export async function assertMachineFree(tx: Tx, machineId: MachineId): Promise<void> {
  const other = await tx
    .selectFrom('operations')
    .select(['id', 'kind', 'state'])
    .where('machine_id', '=', machineId)
    .where('exclusive', '=', true)
    .where('ended_at', 'is', null)
    .executeTakeFirst()
  if (other) throw busy(other)
}

function busy(other?: { id: string; kind: string; state: string }): AutovibeError {
  const what = other ? `${other.kind} (${other.id}, ${other.state})` : 'another operation'
  return new AutovibeError('conflict.busy', `The machine is in the hands of ${what}.`, {
    fix: other?.state === 'stuck' ? `autovibe operation show ${other.id}` : 'Wait until it has ended, then try again.',
  })
}
