/** A run: one prompt executed on a machine, in steps. */
import { z } from 'zod'
import { PageQuery, Time, waitQuery } from './common.ts'
import { BudgetId, CheckpointId, MachineId, Name, OperationId, ProjectId, RunId } from './ids.ts'
import { Amount, NanoUsd } from './money.ts'

export const RUN_STATES = ['queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled'] as const
export const RunState = z.enum(RUN_STATES)
export type RunState = z.infer<typeof RunState>

export const AGENTS = ['builtin', 'claude-code'] as const
export const AgentName = z.enum(AGENTS)
export type AgentName = z.infer<typeof AgentName>

/** What the check command said at the end of a run. */
export const CheckResult = z.object({
  command: z.string(),
  exit_code: z.int().nullable(),
  /** The last 8 KiB of what it printed. */
  output: z.string(),
  duration_ms: z.int(),
})
export type CheckResult = z.infer<typeof CheckResult>

export const Run = z.object({
  id: RunId,
  project_id: ProjectId,
  machine_id: MachineId,
  machine_name: Name,
  prompt: z.string(),
  agent: AgentName,
  provider: z.string(),
  model: z.string(),
  check: z.string().nullable(),
  state: RunState,
  state_reason: z.string().nullable(),
  /** The agent's closing words. */
  summary: z.string().nullable(),
  check_result: CheckResult.nullable(),
  /** The agent's own figure, where it reports one: a second opinion, in nano-US-dollars. */
  agent_reported_cost: NanoUsd.nullable(),
  /** Null until its budget was opened, which is the first thing that its operation does. */
  budget_id: BudgetId.nullable(),
  spent: NanoUsd,
  limit: NanoUsd,
  steps: z.int(),
  checkpoint_id: CheckpointId.nullable().describe('The newest verified checkpoint of the run'),
  created_at: Time,
  started_at: Time.nullable(),
  ended_at: Time.nullable(),
})
export type Run = z.infer<typeof Run>

/** `POST /v1/runs`: on an existing machine, or (without `machine`) on a new one of the project. */
export const CreateRun = z.object({
  project: z.string().describe('Name or id of the project'),
  machine: z.string().optional().describe('Name or id of a ready machine'),
  /** Start the new machine from this checkpoint instead of the project's source. */
  from_checkpoint: CheckpointId.optional(),
  prompt: z.string().min(1).max(200_000),
  agent: AgentName.default('builtin'),
  provider: Name.default('anthropic'),
  model: z.string().min(1).max(200).optional(),
  check: z.string().min(1).max(4000).optional(),
  budget: NanoUsd.describe('The most this run may spend'),
  /** Accept a machine without isolation for a real agent. */
  allow_unisolated: z.boolean().default(false),
})
export type CreateRun = z.input<typeof CreateRun>

export const CreatedRun = z.object({ run: Run, operation_id: OperationId })
export type CreatedRun = z.infer<typeof CreatedRun>

/** One model call with the tool calls it led to. */
export const Step = z.object({
  index: z.int(),
  model: z.string(),
  message_id: z.string().nullable(),
  tools: z.array(z.object({ name: z.string(), summary: z.string(), is_error: z.boolean(), duration_ms: z.int() })),
  text: z.string(),
  input_tokens: Amount,
  cache_read_tokens: Amount,
  cache_write_tokens: Amount,
  output_tokens: Amount,
  cost: NanoUsd,
  started_at: Time,
  ended_at: Time.nullable(),
})
export type Step = z.infer<typeof Step>

export const RunQuery = PageQuery.extend({ project: ProjectId.optional(), machine: MachineId.optional(), state: RunState.optional() })
export type RunQuery = z.infer<typeof RunQuery>
export const RunWait = waitQuery(['running', 'ended'])
