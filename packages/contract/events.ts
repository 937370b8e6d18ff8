/** The one envelope of everything that happens: SSE, webhooks and audit carry the same. */
import { z } from 'zod'
import { Json, PageQuery, Time } from './common.ts'
import { CheckpointId, EventId, MachineId, OperationId, ProjectId, RunId } from './ids.ts'

/** The event types this version emits; a client ignores what it does not know. */
export const EVENT_TYPES = [
  'project.created',
  'project.source_imported',
  'machine.state_changed',
  'machine.registered',
  'machine.limits_changed',
  'machine.limit_reached',
  'machine.usage_doubted',
  'machine.rolled_back',
  'run.created',
  'run.state_changed',
  'run.message',
  'run.check_finished',
  'run.checkpoint_waited',
  'run.events_full',
  'step.started',
  'step.tool_started',
  'step.tool_finished',
  'step.finished',
  'step.interrupted',
  'checkpoint.created',
  'checkpoint.state_changed',
  'checkpoint.expired',
  'checkpoint.checked',
  'archive.created',
  'archive.state_changed',
  'archive.checked',
  'usage.recorded',
  'budget.changed',
  'budget.threshold',
  'budget.exhausted',
  'budget.audit_failed',
  'operation.created',
  'operation.step_changed',
  'operation.finished',
  'operation.stuck',
  'operation.deadline',
  'exec.started',
  'exec.ended',
  'gateway.call_refused',
  'gateway.call_clamped',
  'gateway.upstream_down',
  'gateway.upstream_up',
  'egress.allowed',
  'egress.refused',
  'audit.recorded',
] as const
export type EventType = (typeof EVENT_TYPES)[number]

export const Event = z.object({
  id: EventId,
  /** Where it stands in the stream, growing; what `after` and `Last-Event-ID` take. */
  cursor: z.string(),
  type: z.string(),
  at: Time,
  project_id: ProjectId.nullable(),
  machine_id: MachineId.nullable(),
  run_id: RunId.nullable(),
  operation_id: OperationId.nullable(),
  checkpoint_id: CheckpointId.nullable(),
  data: z.record(z.string(), Json),
})
export type Event = z.infer<typeof Event>

export const EventQuery = z.object({
  after: z
    .string()
    .regex(/^[0-9]+-[0-9]+$/, 'must be a cursor of an event')
    .optional(),
  project: ProjectId.optional(),
  machine: MachineId.optional(),
  run: RunId.optional(),
  operation: OperationId.optional(),
  types: z.string().max(1000).optional().describe('Event types, separated by commas'),
  /** JSON pages instead of a stream. */
  limit: PageQuery.shape.limit.optional(),
})
export type EventQuery = z.infer<typeof EventQuery>
