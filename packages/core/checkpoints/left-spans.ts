/**
 * Which times of a machine a rollback leaves: those in which it came from what the checkpoint has to where it stands. Earlier rollbacks have left other times
 * already, and what was done before its first checkpoint on another machine is that one's.
 */
import type { CheckpointId, MachineId } from '@autovibe/contract'

export interface LinePoint {
  readonly id: CheckpointId
  readonly machineId: MachineId
  /** When its tree stood still. */
  readonly frozenAtMs: number
}

export interface LineFacts {
  readonly machineId: MachineId
  readonly madeAtMs: number
  /** The checkpoint that it began with. */
  readonly madeFrom: CheckpointId | null
  /** What it stands on now, the parent of that, and so on to the first, whichever machines they are of. */
  readonly line: readonly LinePoint[]
  /** All that moved it, in any order. */
  readonly rollbacks: readonly { readonly to: CheckpointId; readonly atMs: number }[]
}

export interface Span {
  readonly fromMs: number
  /** Null: until now. */
  readonly untilMs: number | null
}

/** Newest first, without a gap of nothing between two. `target` is the line of the checkpoint that it goes to. Where it cannot be told when a time began, it is as long as it can be. */
export function leftSpans(facts: LineFacts, target: readonly LinePoint[]): Span[] {
  const { machineId, line } = facts
  const arrivals = arrivalsOf(facts)
  const kept = new Map(target.map(({ id }, index) => [id, index]))
  const spans: Span[] = []
  /** What the machine made out of the next of the line; at first what it is now. */
  let made: LinePoint | null = null
  for (const from of [...line, null]) {
    const shared: number | undefined = from === null ? target.length : kept.get(from.id)
    if (made === null || made.machineId === machineId) {
      const untilMs: number | null = made?.frozenAtMs ?? null
      const arrived = arrivals.get(from?.id ?? null)
      const arrivedMs = lastBefore(arrived, untilMs)
      // What a rollback has saved and then failed was made in the same stay, up to when it was saved.
      const branch = shared === undefined ? undefined : target[shared - 1]
      const isOfThisStay = branch?.machineId === machineId && lastBefore(arrived, branch.frozenAtMs) === arrivedMs
      const fromMs = branch && isOfThisStay ? branch.frozenAtMs : (arrivedMs ?? facts.madeAtMs)
      if (untilMs === null || fromMs < untilMs) add(spans, { fromMs, untilMs })
    }
    if (shared !== undefined) break
    made = from
  }
  return spans
}

/** When the machine came to stand on each of the line; null is the tree that it was made with, when that was of no checkpoint. */
function arrivalsOf({ machineId, madeAtMs, madeFrom, line, rollbacks }: LineFacts): ReadonlyMap<CheckpointId | null, number[]> {
  const arrivals = new Map<CheckpointId | null, number[]>([[madeFrom, [madeAtMs]]])
  const arrive = (at: CheckpointId, ms: number): void => {
    const times = arrivals.get(at)
    if (times) times.push(ms)
    else arrivals.set(at, [ms])
  }
  for (const { id, machineId: of, frozenAtMs } of line) if (of === machineId) arrive(id, frozenAtMs)
  for (const { to, atMs } of rollbacks) arrive(to, atMs)
  return arrivals
}

function lastBefore(times: readonly number[] | undefined, untilMs: number | null): number | undefined {
  const before = (times ?? []).filter((ms) => untilMs === null || ms <= untilMs)
  return before.length === 0 ? undefined : before.reduce((last, ms) => Math.max(last, ms))
}

function add(spans: Span[], next: Span): void {
  const newer = spans.at(-1)
  if (newer && next.untilMs !== null && next.untilMs >= newer.fromMs)
    spans[spans.length - 1] = { fromMs: Math.min(next.fromMs, newer.fromMs), untilMs: newer.untilMs }
  else spans.push(next)
}
