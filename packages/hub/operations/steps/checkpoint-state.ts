/** The rows of a checkpoint: made when asked for, moved on with an event. */
import { AutovibeError, type CheckpointId, type CheckpointState, type CheckpointTrigger, type MachineId, type RunId } from '@autovibe/contract'
import { type ExpressionBuilder, type OperationNodeSource, type Selectable, sql } from 'kysely'
import { along } from '../../database/along.ts'
import type { Tx } from '../../database/database.ts'
import { eventRows, type NewEvent } from '../../database/events.ts'
import type { CheckpointsTable, Schema } from '../../database/schema.ts'
import type { Runtime } from '../../runtime.ts'
import { wakes } from '../engine/wake.ts'
import type { MachineRow } from './machine-state.ts'

export type CheckpointRow = Selectable<CheckpointsTable>

export interface NewCheckpoint {
  /** Left out: one is made up. */
  readonly id?: CheckpointId | undefined
  readonly trigger: CheckpointTrigger
  readonly label: string | null
  readonly runId: RunId | null
  readonly step: number | null
}

/** A `pending` row, so that whoever asked can follow it from the first moment. */
export async function insertCheckpoint(tx: Tx, runtime: Runtime, machine: MachineRow, checkpoint: NewCheckpoint): Promise<CheckpointId> {
  const { id = runtime.newId('checkpoint'), trigger, label, runId, step } = checkpoint
  const { project_id, id: machine_id } = machine
  const news: NewEvent = { type: 'checkpoint.created', project_id, machine_id, run_id: runId, checkpoint_id: id, data: { trigger, label, step } }
  await along(tx, eventRows(tx, runtime, [news]))
    .insertInto('checkpoints')
    .values((eb) => ({
      id,
      project_id,
      machine_id,
      run_id: runId,
      parent_id: machine.head_checkpoint_id,
      trigger,
      label,
      state: 'pending',
      state_reason: null,
      consistency: null,
      snapshot: null,
      substrate: machine.substrate,
      isolation: machine.isolation,
      copy_tier: machine.copy_tier,
      manifest_sha256: null,
      files: null,
      bytes: null,
      new_bytes: null,
      step,
      spent: eb.fn.coalesce(spentBy(eb, runId), sql<bigint>`0`),
      source_sha256: machine.source_sha256,
      created_at: runtime.now(),
      verified_at: null,
    }))
    .execute()
  return id
}

const spentBy = (eb: ExpressionBuilder<Schema, 'checkpoints'>, runId: RunId | null) =>
  eb
    .selectFrom('runs')
    .innerJoin('budgets', 'budgets.id', 'runs.budget_id')
    .select('budgets.settled')
    .where('runs.id', '=', runId ?? ('' as RunId))

export async function changeCheckpoint(
  tx: Tx,
  runtime: Runtime,
  checkpointId: CheckpointId,
  state: CheckpointState,
  more: Partial<CheckpointRow> = {},
): Promise<CheckpointRow> {
  const row = await moving(tx, checkpointId, state, more).returningAll().executeTakeFirstOrThrow()
  await eventRows(tx, runtime, [movedNews(row)])
    .returning(wakes(row.machine_id).as('woken'))
    .execute()
  return row
}

/** The same for whoever has its row at hand, as a statement for `along` and the event to be told. */
export function movingCheckpoint(
  tx: Tx,
  row: CheckpointRow,
  state: CheckpointState,
  more: Partial<CheckpointRow>,
): { readonly moving: OperationNodeSource; readonly news: NewEvent } {
  return { moving: moving(tx, row.id, state, more), news: movedNews({ ...row, state, ...more }) }
}

const moving = (tx: Tx, id: CheckpointId, state: CheckpointState, more: Partial<CheckpointRow>) =>
  tx
    .updateTable('checkpoints')
    .set({ state, ...more })
    .where('id', '=', id)

function movedNews({
  id: checkpoint_id,
  project_id,
  machine_id,
  run_id,
  state,
  state_reason: reason,
  trigger,
  label,
  step,
  consistency,
}: CheckpointRow): NewEvent {
  return {
    type: 'checkpoint.state_changed',
    project_id,
    machine_id,
    run_id,
    checkpoint_id,
    data: { state, reason, trigger, label, step, consistency },
  }
}

/** What whoever asks for an expired checkpoint is told. */
export function checkpointGone({ id, machine_id }: { readonly id: CheckpointId; readonly machine_id: MachineId }): AutovibeError {
  return new AutovibeError('checkpoint.gone', `The checkpoint ${id} has expired: its files are no longer kept.`, {
    fix: `Choose another, and pin what must stay: autovibe checkpoint list ${machine_id}`,
  })
}
