/** A run: one prompt executed on a machine, in steps. */
import { z } from 'zod'
import { BudgetPolicy } from './budgets.ts'
import { PageQuery, Time, waitQuery } from './common.ts'
import { BudgetId, CheckpointId, MachineId, Name, OperationId, ProjectId, RunId } from './ids.ts'
import { MachineLimitsChange } from './limits.ts'
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
  spent: NanoUsd.describe('What the ledger has settled for the run: the costs of its steps together'),
  held: NanoUsd.describe('Reserved by model calls under way'),
  set_aside: NanoUsd.describe('Kept for handing the work back when the rest is spent; nothing else can spend it'),
  limit: NanoUsd,
  steps: z.int().describe('Every step that has begun, those interrupted and the one under way included'),
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
  on_limit: BudgetPolicy.optional().describe("What happens when the money is used up; what is not given is as the project's budget says"),
  hand_back: NanoUsd.optional().describe(
    'With `wind-down`: how much of the budget is set aside for closing the work and reporting; a tenth, but at least 5 cents and at most half, when not given',
  ),
  limits: MachineLimitsChange.strict().optional().describe('What the new machine may take; what is left out is as its checkpoint, its project or the Hub says'),
  /** Accept a machine without isolation for a real agent. */
  allow_unisolated: z.boolean().default(false),
})
export type CreateRun = z.input<typeof CreateRun>

export const CreatedRun = z.object({ run: Run, operation_id: OperationId })
export type CreatedRun = z.infer<typeof CreatedRun>

export const STEP_OUTCOMES = ['finished', 'interrupted'] as const
export const StepOutcome = z.enum(STEP_OUTCOMES)
export type StepOutcome = z.infer<typeof StepOutcome>

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
  cost: NanoUsd.describe(
    'Of its own model call, and of those that no step names and that count for it: the steps of a run at rest cost together what it has spent',
  ),
  started_at: Time,
  ended_at: Time.nullable(),
  outcome: StepOutcome.nullable().describe('Null while it is under way; an interrupted one may go on and finish'),
})
export type Step = z.infer<typeof Step>

export const RunQuery = PageQuery.extend({ project: ProjectId.optional(), machine: MachineId.optional(), state: RunState.optional() })
export type RunQuery = z.infer<typeof RunQuery>
export const RunWait = waitQuery(['running', 'ended'])
