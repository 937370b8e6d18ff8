/** Operations: durable multi-step changes with progress. */
import { z } from 'zod'
import { Json, PageQuery, Time, waitQuery } from './common.ts'
import { CheckpointId, MachineId, OperationId, ProjectId, RunId } from './ids.ts'

/**
 * `pending` not yet claimed, `running` going forward (or parked), `unwinding` undoing, `done`, `failed` undone after an error,
 * `cancelled` undone on request, `stuck` could not be undone and waits for a person.
 */
export const OPERATION_STATES = ['pending', 'running', 'unwinding', 'done', 'failed', 'cancelled', 'stuck'] as const
export const OperationState = z.enum(OPERATION_STATES)
export type OperationState = z.infer<typeof OperationState>

export const STEP_STATES = ['waiting', 'running', 'done', 'failed', 'undoing', 'undone'] as const

export const OperationStep = z.object({
  name: z.string(),
  kind: z.enum(['tx', 'ensure', 'until']),
  state: z.enum(STEP_STATES),
  attempts: z.int(),
  started_at: Time.nullable(),
  ended_at: Time.nullable(),
})
export type OperationStep = z.infer<typeof OperationStep>

export const Operation = z.object({
  id: OperationId,
  kind: z.string(),
  state: OperationState,
  project_id: ProjectId.nullable(),
  machine_id: MachineId.nullable(),
  run_id: RunId.nullable(),
  checkpoint_id: CheckpointId.nullable(),
  steps: z.array(OperationStep),
  error: z.object({ code: z.string(), message: z.string(), fix: z.string().nullable(), step: z.string().nullable() }).nullable(),
  waits_for: z.string().nullable().describe('Whom or what the step in flight waits for, where it knows that'),
  cancel_requested: z.boolean(),
  input: Json,
  output: Json.describe('What it has to tell at its end; null when that is nothing, and until then'),
  created_at: Time,
  ended_at: Time.nullable(),
})
export type Operation = z.infer<typeof Operation>

export const OperationQuery = PageQuery.extend({ state: OperationState.optional(), machine: MachineId.optional(), project: ProjectId.optional() })
export type OperationQuery = z.infer<typeof OperationQuery>
export const OperationWait = waitQuery(['ended'])

/** The answer to every request that starts an operation on something that exists. */
export const OperationRef = z.object({ operation_id: OperationId })
export type OperationRef = z.infer<typeof OperationRef>
