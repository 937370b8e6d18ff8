/** The rows of a checkpoint: made when asked for, moved on with an event. */
import { AutovibeError, type CheckpointId, type CheckpointState, type CheckpointTrigger, type MachineId, type RunId } from '@autovibe/contract'
import type { Selectable } from 'kysely'
import type { Tx } from '../../database/database.ts'
import { eventRows, recordEvent } from '../../database/events.ts'
import type { CheckpointsTable } from '../../database/schema.ts'
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
  const spent = await tx
    .selectFrom('runs')
    .innerJoin('budgets', 'budgets.id', 'runs.budget_id')
    .select('budgets.settled')
    .where('runs.id', '=', runId ?? ('' as RunId))
    .executeTakeFirst()
  await tx
    .insertInto('checkpoints')
    .values({
      id,
      project_id: machine.project_id,
      machine_id: machine.id,
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
      spent: spent?.settled ?? 0n,
      source_sha256: machine.source_sha256,
      created_at: runtime.now(),
      verified_at: null,
    })
    .execute()
  const { project_id, id: machine_id } = machine
  await recordEvent(tx, runtime, { type: 'checkpoint.created', project_id, machine_id, run_id: runId, checkpoint_id: id, data: { trigger, label, step } })
  return id
}

export async function changeCheckpoint(
  tx: Tx,
  runtime: Runtime,
  checkpointId: CheckpointId,
  state: CheckpointState,
  more: Partial<CheckpointRow> = {},
): Promise<CheckpointRow> {
  const row = await tx
    .updateTable('checkpoints')
    .set({ state, ...more })
    .where('id', '=', checkpointId)
    .returningAll()
    .executeTakeFirstOrThrow()
  const { id: checkpoint_id, project_id, machine_id, run_id, state_reason: reason, trigger, label, step, consistency } = row
  const data = { state, reason, trigger, label, step, consistency }
  await eventRows(tx, runtime, [{ type: 'checkpoint.state_changed', project_id, machine_id, run_id, checkpoint_id, data }])
    .returning(wakes(machine_id).as('woken'))
    .execute()
  return row
}

/** What whoever asks for an expired checkpoint is told. */
export function checkpointGone({ id, machine_id }: { readonly id: CheckpointId; readonly machine_id: MachineId }): AutovibeError {
  return new AutovibeError('checkpoint.gone', `The checkpoint ${id} has expired: its files are no longer kept.`, {
    fix: `Choose another, and pin what must stay: autovibe checkpoint list ${machine_id}`,
  })
}
