/** What a person who follows a run is told, as data: the human lines and the NDJSON are made from the same. */
import type { Checkpoint, CheckResult, Operation, OperationStep, Run, Step } from '@autovibe/contract'
import { type CostMoment, costsSince, NO_COSTS_TOLD, type StepMoment, type ToldCosts } from './costs.ts'

export type Moment =
  | {
      readonly type: 'operation_step'
      readonly operation_id: string
      readonly kind: string
      readonly name: string
      readonly state: OperationStep['state']
      readonly duration_ms: number | null
    }
  | {
      readonly type: 'operation_ended'
      readonly operation_id: string
      readonly kind: string
      readonly state: Operation['state']
      readonly error: Operation['error']
    }
  | { readonly type: 'tool_started'; readonly name: string; readonly summary: string }
  | StepMoment
  | CostMoment
  | { readonly type: 'checkpoint'; readonly checkpoint: Checkpoint }
  | { readonly type: 'check_finished'; readonly check: CheckResult }
  | { readonly type: 'run_state'; readonly state: Run['state']; readonly reason: string | null }
  | { readonly type: 'notice'; readonly event: string; readonly code: string | null; readonly text: string }
  | { readonly type: 'hub_lost'; readonly reason: string }
  | { readonly type: 'hub_back' }

/** What has been told so far. */
export interface Told {
  readonly operationSteps: ReadonlySet<string>
  readonly operationsEnded: ReadonlySet<string>
  readonly costs: ToldCosts
  readonly checkpoints: ReadonlySet<string>
  readonly check: boolean
  readonly runState: Run['state'] | null
}

export const NOTHING_TOLD: Told = {
  operationSteps: new Set(),
  operationsEnded: new Set(),
  costs: NO_COSTS_TOLD,
  checkpoints: new Set(),
  check: false,
  runState: null,
}

/** What the Hub answers just now. */
export interface Seen {
  readonly operation: Operation | null
  readonly run: Run
  readonly steps: readonly Step[]
  readonly checkpoints: readonly Checkpoint[]
  /** The run and its steps are of one moment: their sums can be compared. */
  readonly isWhole: boolean
}

const SETTLED_CHECKPOINT: ReadonlySet<string> = new Set(['verified', 'corrupt', 'failed', 'expired'])
const ENDED_OPERATION: ReadonlySet<string> = new Set(['done', 'failed', 'cancelled', 'stuck'])

/** The moments between what was told and what is seen: looks at states, not at messages, so that nothing is lost or told twice when a connection breaks. */
export function momentsSince(told: Told, seen: Seen): { readonly moments: Moment[]; readonly told: Told } {
  const moments: Moment[] = []
  const operationSteps = new Set(told.operationSteps)
  const operationsEnded = new Set(told.operationsEnded)
  const { operation, run } = seen
  if (operation) {
    for (const step of operation.steps) {
      const key = `${operation.id} ${step.name} ${step.state}`
      if (step.state === 'waiting' || step.state === 'running' || operationSteps.has(key)) continue
      operationSteps.add(key)
      moments.push({
        type: 'operation_step',
        operation_id: operation.id,
        kind: operation.kind,
        name: step.name,
        state: step.state,
        duration_ms: span(step.started_at, step.ended_at),
      })
    }
    if (ENDED_OPERATION.has(operation.state) && !operationsEnded.has(operation.id)) {
      operationsEnded.add(operation.id)
      moments.push({ type: 'operation_ended', operation_id: operation.id, kind: operation.kind, state: operation.state, error: operation.error })
    }
  }
  if (run.state !== told.runState && (run.state === 'running' || run.state === 'queued'))
    moments.push({ type: 'run_state', state: run.state, reason: run.state_reason })
  const costs = costsSince(told.costs, seen, atRest(run))
  const checkpoints = new Set(told.checkpoints)
  const timed: { readonly at: string; readonly moment: Moment }[] = costs.steps.map((moment) => ({ at: moment.step.ended_at ?? '', moment }))
  for (const checkpoint of seen.checkpoints) {
    if (!SETTLED_CHECKPOINT.has(checkpoint.state) || checkpoints.has(checkpoint.id)) continue
    checkpoints.add(checkpoint.id)
    timed.push({ at: checkpoint.created_at, moment: { type: 'checkpoint', checkpoint } })
  }
  moments.push(...timed.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)).map(({ moment }) => moment), ...costs.changes)
  if (run.check_result !== null && !told.check) moments.push({ type: 'check_finished', check: run.check_result })
  if (run.state !== told.runState && run.state !== 'running' && run.state !== 'queued')
    moments.push({ type: 'run_state', state: run.state, reason: run.state_reason })
  const now = { operationSteps, operationsEnded, costs: costs.told, checkpoints, check: told.check || run.check_result !== null, runState: run.state }
  return { moments, told: now }
}

export const hasEnded = (run: Run): boolean => run.state === 'succeeded' || run.state === 'failed' || run.state === 'cancelled'

const atRest = (run: Run): boolean => hasEnded(run) || run.state === 'paused'

/** Nothing more will come of a run by itself, and what is told of it adds up. */
export const isSettled = (seen: Seen): boolean =>
  atRest(seen.run) && seen.isWhole && seen.checkpoints.every((checkpoint) => SETTLED_CHECKPOINT.has(checkpoint.state))

const span = (from: string | null, to: string | null): number | null => (from === null || to === null ? null : Date.parse(to) - Date.parse(from))
