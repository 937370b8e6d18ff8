/** Decides when a machine asks for a checkpoint: one answer at most per quiet point, from what happened since the last one, and no two closer than the floor. */
import type { TriggerSettings } from '@autovibe/contract'
import { fitsAnyPattern } from './command-patterns.ts'
import { isRiskyCommand } from './risky-command.ts'

/** The triggers that this decision can answer, the strongest first: of several that meet, it is the one that is named. `demand` and `rollback` come from people. */
const STRENGTH = ['start', 'risky-command', 'exit', 'files-changed', 'budget', 'interval', 'model-response'] as const
export type AutomaticTrigger = (typeof STRENGTH)[number]

/** What is known since the last checkpoint; a value, changed only by the functions below. Times are ms of a clock that is never set. */
export interface TriggerState {
  /** The project was just checked out and its untouched form is not kept yet. */
  readonly startPending: boolean
  /** Files may differ from the last checkpoint. */
  readonly filesChanged: boolean
  /** Steps that ended since the last checkpoint: the conversation has grown. */
  readonly stepsSince: number
  /** The strongest of what was asked for since the last checkpoint, but too soon after it. */
  readonly heldBack: AutomaticTrigger | null
  readonly beganAtMs: number
  /** When the last checkpoint of this run had been taken; null before the first. */
  readonly lastCheckpointAtMs: number | null
  /** What was spent at the last checkpoint. */
  readonly spentNanoUsd: bigint
}

export interface Money {
  readonly spentNanoUsd: bigint
  readonly limitNanoUsd: bigint
}

/** A point at which no tool is running. */
export type QuietPoint =
  | { readonly kind: 'before-first-step' }
  | {
      readonly kind: 'before-command'
      readonly command: string /** An earlier tool of the same step may have changed files. */
      readonly filesChanged: boolean
    }
  | { readonly kind: 'step-ended' /** A tool of this very step may have changed files. */; readonly filesChanged: boolean }
  | { readonly kind: 'run-ended' }

/** The state of a run that begins now. */
export function beginTriggers(nowMs: number, startPending: boolean, { spentNanoUsd }: Money): TriggerState {
  return { startPending, filesChanged: false, stepsSince: 0, heldBack: null, beganAtMs: nowMs, lastCheckpointAtMs: null, spentNanoUsd }
}

/** The state after this quiet point was reached, and the checkpoint to ask for at it, if any. What comes too soon is in the state, and asked for at the first quiet point after the floor. */
export function reachQuietPoint(
  settings: TriggerSettings,
  before: TriggerState,
  point: QuietPoint,
  nowMs: number,
  money: Money,
): { readonly state: TriggerState; readonly trigger: AutomaticTrigger | null } {
  const state = observe(before, point)
  const due = strongest(dueAt(settings, state, point, nowMs, money), state.heldBack)
  if (due === null || isUrgent(due, state) || !isWithinFloor(settings, state, nowMs)) return { state, trigger: due }
  // What it was to come before is then over: what is left of it is the step that is not kept.
  const held = due === 'risky-command' ? 'model-response' : due
  return { state: { ...state, heldBack: strongest(held, state.heldBack) }, trigger: null }
}

/** The state after a checkpoint was taken. */
export function checkpointTaken(state: TriggerState, nowMs: number, { spentNanoUsd }: Money): TriggerState {
  return {
    ...state,
    startPending: false,
    filesChanged: false,
    stepsSince: 0,
    heldBack: null,
    lastCheckpointAtMs: nowMs,
    spentNanoUsd: spentNanoUsd > state.spentNanoUsd ? spentNanoUsd : state.spentNanoUsd,
  }
}

/** Whether a checkpoint belongs before this command while something is not kept. */
export function countsAsRisky({ before_risky, risky_patterns }: TriggerSettings, command: string): boolean {
  return before_risky && (isRiskyCommand(command) || fitsAnyPattern(command, risky_patterns))
}

/** How often so many percent of the limit are spent, by whole times; none of a limit of 0, or of 0 percent. */
export function sharesOf({ spentNanoUsd, limitNanoUsd }: Money, percent: number): bigint {
  if (percent <= 0 || limitNanoUsd <= 0n || spentNanoUsd <= 0n) return 0n
  return ((spentNanoUsd < limitNanoUsd ? spentNanoUsd : limitNanoUsd) * 100n) / (limitNanoUsd * BigInt(percent))
}

function observe(state: TriggerState, point: QuietPoint): TriggerState {
  if (point.kind === 'before-command') return point.filesChanged ? { ...state, filesChanged: true } : state
  if (point.kind !== 'step-ended') return state
  return { ...state, stepsSince: state.stepsSince + 1, filesChanged: state.filesChanged || point.filesChanged }
}

function dueAt(settings: TriggerSettings, state: TriggerState, point: QuietPoint, nowMs: number, money: Money): AutomaticTrigger | null {
  if (state.startPending) return 'start'
  switch (point.kind) {
    case 'before-first-step':
      return null
    case 'before-command':
      return hasNews(state) && countsAsRisky(settings, point.command) ? 'risky-command' : null
    case 'run-ended':
      // What has changed, or was held back, is kept at the latest here, whatever the project says of the end.
      return state.filesChanged || state.heldBack !== null || (settings.at_end && hasNews(state)) ? 'exit' : null
    case 'step-ended':
      return afterStep(settings, state, point.filesChanged, nowMs, money)
  }
}

function afterStep(settings: TriggerSettings, state: TriggerState, changedNow: boolean, nowMs: number, money: Money): AutomaticTrigger | null {
  const { after_response, every_minutes, every_budget_percent: percent } = settings
  if (changedNow && after_response !== 'never') return 'files-changed'
  if (sharesOf(money, percent) > sharesOf({ ...money, spentNanoUsd: state.spentNanoUsd }, percent)) return 'budget'
  if (every_minutes > 0 && nowMs - (state.lastCheckpointAtMs ?? state.beganAtMs) >= every_minutes * 60_000) return 'interval'
  // A change that an earlier request did not catch, because the Hub was busy.
  return after_response === 'always' || (after_response === 'when-files-changed' && state.filesChanged) ? 'model-response' : null
}

/** What no floor holds back: later, what it would have kept may be lost, or nobody asks any more. */
function isUrgent(trigger: AutomaticTrigger, state: TriggerState): boolean {
  return trigger === 'start' || trigger === 'exit' || (trigger === 'risky-command' && state.filesChanged)
}

function isWithinFloor({ floor_seconds }: TriggerSettings, { lastCheckpointAtMs }: TriggerState, nowMs: number): boolean {
  return lastCheckpointAtMs !== null && nowMs - lastCheckpointAtMs < floor_seconds * 1000
}

function hasNews(state: TriggerState): boolean {
  return state.filesChanged || state.stepsSince > 0
}

function strongest(one: AutomaticTrigger | null, other: AutomaticTrigger | null): AutomaticTrigger | null {
  return STRENGTH.find((trigger) => trigger === one || trigger === other) ?? null
}
