/** Records what happened, in the transaction of what happened. */
import type { CheckpointId, EventType, Json, MachineId, OperationId, ProjectId, RunId } from '@autovibe/contract'
import type { Runtime } from '../runtime.ts'
import type { Tx } from './database.ts'

export interface NewEvent {
  readonly type: EventType
  readonly project_id?: ProjectId | null
  readonly machine_id?: MachineId | null
  readonly run_id?: RunId | null
  readonly operation_id?: OperationId | null
  readonly checkpoint_id?: CheckpointId | null
  readonly data?: Record<string, Json>
  /** When it happened, if that was before now. */
  readonly at?: Date
}

/** Adds events to the stream; subscribers see them when the transaction commits. */
export async function recordEvents(tx: Tx, runtime: Runtime, events: readonly NewEvent[]): Promise<void> {
  if (events.length > 0) await eventRows(tx, runtime, events).execute()
}

/** The statement that adds them, for `along`. */
export const eventRows = (tx: Tx, runtime: Runtime, events: readonly NewEvent[]) =>
  tx.insertInto('events').values(
    events.map((event) => ({
      id: runtime.newId('event'),
      type: event.type,
      at: event.at ?? runtime.now(),
      project_id: event.project_id ?? null,
      machine_id: event.machine_id ?? null,
      run_id: event.run_id ?? null,
      operation_id: event.operation_id ?? null,
      checkpoint_id: event.checkpoint_id ?? null,
      data: JSON.stringify(event.data ?? {}),
    })),
  )

export const recordEvent = (tx: Tx, runtime: Runtime, event: NewEvent): Promise<void> => recordEvents(tx, runtime, [event])
