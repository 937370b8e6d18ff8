/** Decides when a machine asks for a checkpoint: one answer at most per quiet point, from what happened since the last one. */
import { isRiskyCommand } from './risky-command.ts'

/** The triggers that this decision can answer; `demand` and `rollback` come from people. */
export type AutomaticTrigger = 'start' | 'model-response' | 'files-changed' | 'risky-command' | 'interval' | 'budget' | 'exit'

export interface TriggerSettings {
  /** 0 is no hour-glass. */
  readonly intervalSeconds: number
}

/** What is known since the last checkpoint; a value, changed only by the functions below. */
export interface TriggerState {
  /** The project was just checked out and its untouched form is not kept yet. */
  readonly startPending: boolean
  /** Files may differ from the last checkpoint. */
  readonly filesChanged: boolean
  /** Steps that ended since the last checkpoint: the conversation has grown. */
  readonly stepsSince: number
  readonly lastCheckpointAtMs: number
  /** Tenths of the limit that were spent at the last checkpoint, 0 to 10. */
  readonly spentTenths: number
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

/** The state of a run that begins now (ms since 1970). */
export function beginTriggers(nowMs: number, startPending: boolean, money: Money): TriggerState {
  return { startPending, filesChanged: false, stepsSince: 0, lastCheckpointAtMs: nowMs, spentTenths: tenthsOf(money) }
}

/** The state after this quiet point was reached, whatever is decided at it. */
export function observe(state: TriggerState, point: QuietPoint): TriggerState {
  if (point.kind === 'before-command') return point.filesChanged ? { ...state, filesChanged: true } : state
  if (point.kind !== 'step-ended') return state
  return { ...state, stepsSince: state.stepsSince + 1, filesChanged: state.filesChanged || point.filesChanged }
}

/** The checkpoint to ask for at this quiet point (already observed), or null. */
export function decideCheckpoint(settings: TriggerSettings, state: TriggerState, point: QuietPoint, nowMs: number, money: Money): AutomaticTrigger | null {
  if (state.startPending) return 'start'
  switch (point.kind) {
    case 'before-first-step':
      return null
    case 'before-command':
      return isRiskyCommand(point.command) && hasNews(state) ? 'risky-command' : null
    case 'run-ended':
      return hasNews(state) ? 'exit' : null
    case 'step-ended':
      return afterStep(settings, state, point.filesChanged, nowMs, money)
  }
}

/** The state after a checkpoint was taken. */
export function checkpointTaken(state: TriggerState, nowMs: number, money: Money): TriggerState {
  return { startPending: false, filesChanged: false, stepsSince: 0, lastCheckpointAtMs: nowMs, spentTenths: Math.max(state.spentTenths, tenthsOf(money)) }
}

/** Whole tenths of the limit that are spent; a limit of 0 has none. */
export function tenthsOf(money: Money): number {
  if (money.limitNanoUsd <= 0n || money.spentNanoUsd <= 0n) return 0
  const tenths = (money.spentNanoUsd * 10n) / money.limitNanoUsd
  return tenths > 10n ? 10 : Number(tenths)
}

function afterStep(settings: TriggerSettings, state: TriggerState, changedNow: boolean, nowMs: number, money: Money): AutomaticTrigger | null {
  if (changedNow) return 'files-changed'
  if (tenthsOf(money) > state.spentTenths) return 'budget'
  if (settings.intervalSeconds > 0 && nowMs - state.lastCheckpointAtMs >= settings.intervalSeconds * 1000) return 'interval'
  // A change that an earlier request did not catch, because the Hub was busy.
  return state.filesChanged ? 'model-response' : null
}

function hasNews(state: TriggerState): boolean {
  return state.filesChanged || state.stepsSince > 0
}
