/** The life of a run: which report or request leads where. */
import type { RunState } from '@autovibe/contract'

const OPEN: readonly RunState[] = ['queued', 'running', 'paused']

export const RUN_TRANSITIONS = {
  start: { from: ['queued', 'paused'], to: 'running' },
  pause: { from: ['queued', 'running'], to: 'paused' },
  succeed: { from: ['running', 'paused'], to: 'succeeded' },
  fail: { from: OPEN, to: 'failed' },
  cancel: { from: OPEN, to: 'cancelled' },
} as const satisfies Record<string, { readonly from: readonly RunState[]; readonly to: RunState }>
export type RunTransition = keyof typeof RUN_TRANSITIONS

/** The state that follows, or null when the change is not possible from here (a late or repeated report). */
export function nextRunState(state: RunState, transition: RunTransition): RunState | null {
  const { from, to } = RUN_TRANSITIONS[transition]
  return (from as readonly RunState[]).includes(state) ? to : null
}

export const isRunOpen = (state: RunState): boolean => OPEN.includes(state)
