/** The machine door: what a machine may say to its Hub, and all that the Hub says to it. HTTP over the machine's own unix socket. */
import { z } from 'zod'
import { BudgetPolicy } from './budgets.ts'
import { CHECKPOINT_TRIGGERS, CheckpointState } from './checkpoints.ts'
import { Json, Sha256, Time } from './common.ts'
import { CheckpointId, ExecId, MachineId, RunId } from './ids.ts'
import { Amount, NanoUsd } from './money.ts'
import { AgentName, CheckResult } from './runs.ts'
import { TriggerSettings } from './triggers.ts'

/** Where a machine finds its Hub and itself. The tree holds `project/` and `home/`. */
export const MACHINE_PATHS = {
  tree: '/machine',
  project: '/machine/project',
  home: '/machine/home',
  socketDir: '/run/autovibe',
  socket: '/run/autovibe/hub.sock',
  token: '/run/autovibe/token',
} as const

/** The environment variables that the substrate gives to the agent; on a bare process the paths are host paths. */
export const AGENT_ENV = { tree: 'AUTOVIBE_TREE', socket: 'AUTOVIBE_SOCKET', token: 'AUTOVIBE_TOKEN_FILE', agents: 'AUTOVIBE_AGENTS_DIR' } as const

/** Limits that the door holds a machine to; the agent keeps below them by itself. */
export const DOOR_LIMITS = {
  batchEvents: 200,
  eventBytes: 64 * 1024,
  bodyBytes: 4 * 1024 * 1024,
  longPollSeconds: 25,
  /** An agent flushes its events ten times a second, and all that it kept, batch after batch, once the Hub is back. */
  requestsPerSecond: 50,
  requestsBurst: 200,
  bytesPerSecond: 2 * 1024 * 1024,
  bytesBurst: 16 * 1024 * 1024,
  /** What is kept of one run's events and usage, in bytes. */
  runBytes: 64 * 1024 * 1024,
  /** Checkpoints of one machine that are asked for and not yet verified. */
  checkpointsOnTheirWay: 3,
} as const

/** The largest number that the database keeps as `integer`. */
const INT32_MAX = 2 ** 31 - 1

export const RegisterMachine = z.object({ boot_id: z.string().min(8).max(64), agent_version: z.string().max(100) })
export type RegisterMachine = z.infer<typeof RegisterMachine>
export const Registered = z.object({ machine_id: MachineId, heartbeat_ms: z.int() })
export type Registered = z.infer<typeof Registered>

/** What the machine shall do, level-triggered: the whole wish each time, never a message that can be lost. */
export const Instructions = z.object({
  /** Grows with every change; pass it as `after` to wait for the next. */
  revision: z.int(),
  /** `idle`: nothing to run. `park`: stop between two tool calls and keep all state. `quiesce`: the same, for a checkpoint, and say so. `cancel`: end the run. */
  control: z.enum(['idle', 'go', 'park', 'quiesce', 'cancel']),
  /** To be fetched and checked out into an empty project folder before anything runs. */
  source: z.object({ sha256: Sha256, bytes: z.int(), ref: z.string(), branch: z.string().nullable() }).nullable(),
  run: z
    .object({
      id: RunId,
      prompt: z.string(),
      agent: AgentName,
      model: z.string(),
      check: z.string().nullable(),
      /** True when the conversation in the tree shall be continued. */
      resume: z.boolean(),
      /** What the agent shall be told about the world before it goes on (after a fork or a rollback). */
      notice: z.string().nullable(),
      max_steps: z.int(),
      /** When to ask for a checkpoint, as the project says now. */
      triggers: TriggerSettings,
      limit: NanoUsd,
    })
    .nullable(),
  /** What the machine may reach beyond its Hub, for people and models to read; the Hub decides anew at each attempt. Empty: nothing. */
  egress: z.array(z.string()),
  /** Commands of people that wait for this machine: dial `GET /door/exec/{id}` for each, once. */
  execs: z.array(ExecId).max(100),
})
export type Instructions = z.infer<typeof Instructions>
export const InstructionsQuery = z.object({
  after: z.coerce.number().int().min(0).default(0),
  wait: z.coerce.number().min(0).max(DOOR_LIMITS.longPollSeconds).default(0),
})

/** The event types that a machine may send; all else is refused. */
export const MACHINE_EVENT_TYPES = [
  'run.message',
  'run.check_finished',
  'run.checkpoint_waited',
  'step.started',
  'step.tool_started',
  'step.tool_finished',
  'step.finished',
] as const

/** `seq` grows by one within a boot, so that a batch sent twice is stored once. */
export const MachineEvent = z.object({
  seq: z.int().min(1),
  type: z.enum(MACHINE_EVENT_TYPES),
  at: Time,
  run_id: RunId,
  data: z.record(z.string(), Json),
})
export type MachineEvent = z.infer<typeof MachineEvent>
export const EventBatch = z.object({ boot_id: z.string().min(8).max(64), events: z.array(MachineEvent).min(1).max(DOOR_LIMITS.batchEvents) })
export type EventBatch = z.infer<typeof EventBatch>
export const EventBatchAck = z.object({ stored_seq: z.int() })

/** `data` of `step.finished`; the gateway's usage event with the same `message_id` holds tokens and cost. */
export const StepFinished = z.object({
  index: z.int().min(1).max(INT32_MAX),
  model: z.string().max(200),
  message_id: z.string().max(200).nullable(),
  text: z.string().max(16_384),
  tools: z.array(z.object({ name: z.string().max(200), summary: z.string().max(1000), is_error: z.boolean(), duration_ms: z.int() })).max(100),
})
export type StepFinished = z.infer<typeof StepFinished>

export const Heartbeat = z.object({ boot_id: z.string().min(8).max(64), rss_bytes: z.int().optional(), quiet: z.boolean() })
export type Heartbeat = z.infer<typeof Heartbeat>
/** The seed's resource tracking: every report is answered with what is left. */
export const BudgetStatus = z.object({
  spent: NanoUsd,
  limit: NanoUsd,
  available: NanoUsd,
  revision: z.int(),
  /** The narrowest limit above the run that is met, whoever used it up, and what shall happen at it; null while there is money. */
  limit_met: z.object({ policy: BudgetPolicy, sentence: z.string() }).nullable(),
  /** The run has been told to close its work and hand it back, and is paid from what was set aside for that. */
  winding_down: z.boolean(),
  /** The highest threshold that any of its budgets has reached, in percent. */
  reached_percent: z.int().nullable(),
})
export type BudgetStatus = z.infer<typeof BudgetStatus>

/** Consumption that nobody but the machine may be able to measure. Model calls, storage and traffic are the Hub's own figures. */
export const MachineUsage = z.object({
  resource: z.enum(['wall_seconds', 'cpu_seconds']),
  amount: Amount,
  quality: z.enum(['measured', 'estimated']),
  service: z.string().max(100),
})
/** Sent again with the same `id`, it counts once. Counts no further than there was time for since the run began; a report with nothing of that is refused. */
export const UsageReport = z.object({ id: z.string().regex(/^[0-9A-Za-z_-]{8,64}$/), run_id: RunId, usage: z.array(MachineUsage).min(1).max(100) })
export type UsageReport = z.infer<typeof UsageReport>

/** Answered as soon as the tree is frozen, so that the agent can go on while the Hub captures and verifies. `demand` and `rollback` are people's. */
export const RequestCheckpoint = z.object({
  run_id: RunId,
  trigger: z.enum(CHECKPOINT_TRIGGERS).exclude(['demand', 'rollback', 'import']),
  step: z.int().min(0).max(INT32_MAX),
  label: z.string().max(200).nullable(),
})
export type RequestCheckpoint = z.infer<typeof RequestCheckpoint>
export const CheckpointAnswer = z.object({ checkpoint_id: CheckpointId, state: CheckpointState, state_reason: z.string().nullable() })
export type CheckpointAnswer = z.infer<typeof CheckpointAnswer>

/** `PUT /door/runs/{id}/state`. `paused` with a reason when the gateway refused for money; the Hub decides whether it may go on. */
export const RunReport = z.object({
  state: z.enum(['running', 'paused', 'succeeded', 'failed', 'cancelled']),
  reason: z.string().max(2000).nullable(),
  summary: z.string().max(16_384).nullable(),
  check_result: CheckResult.nullable(),
  agent_reported_cost: NanoUsd.nullable(),
})
export type RunReport = z.infer<typeof RunReport>
