/** The rows of schema.ts that tell what is under way and what has happened: operations, their steps, events and the streams of machines. */
import type { CheckpointId, EventId, Json, MachineId, OperationId, OperationState, ProjectId, RunId } from '@autovibe/contract'
import type { Generated, JSONColumnType } from 'kysely'

type JsonRecord = JSONColumnType<Record<string, Json>, string, string>

export interface OperationsTable {
  id: OperationId
  kind: string
  version: number
  steps: string[]
  input: JsonRecord
  outputs: JSONColumnType<Record<string, Json>, string | undefined, string>
  project_id: ProjectId | null
  machine_id: MachineId | null
  run_id: RunId | null
  checkpoint_id: CheckpointId | null
  exclusive: boolean
  state: OperationState
  step_index: Generated<number>
  step_attempts: Generated<number>
  step_started_at: Date | null
  handle: JSONColumnType<Record<string, Json>, string | null, string | null> | null
  error: JSONColumnType<{ code: string; message: string; fix: string | null; step: string | null }, string | null, string | null> | null
  cancel_requested_at: Date | null
  wake_at: Date
  lease_owner: string | null
  lease_expires_at: Date | null
  fence: Generated<bigint>
  created_at: Date
  ended_at: Date | null
}

export interface OperationStepsTable {
  operation_id: OperationId
  index: number
  name: string
  kind: 'tx' | 'ensure' | 'until'
  state: 'waiting' | 'running' | 'done' | 'failed' | 'undoing' | 'undone'
  attempts: Generated<number>
  started_at: Date | null
  ended_at: Date | null
}

export interface EventsTable {
  seq: Generated<bigint>
  xid: Generated<string>
  id: EventId
  type: string
  at: Date
  project_id: ProjectId | null
  machine_id: MachineId | null
  run_id: RunId | null
  operation_id: OperationId | null
  checkpoint_id: CheckpointId | null
  data: JsonRecord
}

export interface MachineEventStreamsTable {
  machine_id: MachineId
  boot_id: string
  stored_seq: bigint
}
