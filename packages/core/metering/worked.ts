/** How long a run has been at work: the time that its clock has kept, and what it counts now. */
import { SILENCE_MS } from '../reconcile/plan.ts'

export interface WorkClock {
  readonly workedMs: number
  /** Null while it stands still. */
  readonly workingSinceMs: number | null
  /** The last sign of life of its machine, where there was one. */
  readonly heardAtMs: number | null
}

/** After a crash of the host nobody knows when the work ended: not long after the machine was heard from last. */
export function workedMsAt({ workedMs, workingSinceMs, heardAtMs }: WorkClock, nowMs: number): number {
  if (workingSinceMs === null) return workedMs
  const untilMs = heardAtMs === null ? nowMs : Math.min(nowMs, heardAtMs + SILENCE_MS)
  return workedMs + Math.max(0, Math.round(untilMs - workingSinceMs))
}
