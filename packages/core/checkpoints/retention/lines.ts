/** The lines of parents along which checkpoints lie: their true order, what the next capture builds on, and where a diff of each begins. */
import type { CheckpointId, CheckpointState, CheckpointTrigger, MachineId } from '@autovibe/contract'

export interface CheckpointFact {
  readonly id: CheckpointId
  readonly machineId: MachineId
  readonly machineName: string
  readonly parentId: CheckpointId | null
  readonly state: CheckpointState
  readonly trigger: CheckpointTrigger
  readonly sourceSha256: string | null
  readonly createdAtMs: number
  readonly pinned: boolean
  /** The name of a machine that is not destroyed and stands on it. */
  readonly headOf: string | null
  /** The kind of an unfinished operation that names it. */
  readonly usedBy: string | null
}

export interface OnLine<F extends CheckpointFact = CheckpointFact> {
  readonly fact: F
  /** Its time, or that of an ancestor if the clock was set back in between: no checkpoint is older than what it was made from. */
  readonly notBeforeMs: number
  readonly depth: number
  /** The nearest that can be restored: itself or an ancestor. */
  readonly restorable: CheckpointId | null
  /** The same as findDiffBase of the Hub's API. */
  readonly diffBase: CheckpointId
}

/** Verified is the only state that is read, forked or gone back to. */
export const isRestorable = ({ state }: CheckpointFact): boolean => state === 'verified'

interface Walked<F extends CheckpointFact> extends OnLine<F> {
  readonly root: CheckpointId
  /** The earliest verified `start` of each source on the line; shared with the parent where nothing is new. */
  readonly starts: ReadonlyMap<string | null, CheckpointId>
}

/** Each checkpoint by its id. A parent that is not among the facts, or a circle, ends the line. */
export function readLines<F extends CheckpointFact>(facts: readonly F[]): ReadonlyMap<CheckpointId, OnLine<F>> {
  const byId = new Map(facts.map((fact) => [fact.id, fact]))
  const walked = new Map<CheckpointId, Walked<F>>()
  for (const fact of facts) {
    const path: F[] = []
    const onPath = new Set<CheckpointId>()
    let at: F | undefined = fact
    while (at !== undefined && !walked.has(at.id) && !onPath.has(at.id)) {
      path.push(at)
      onPath.add(at.id)
      at = at.parentId === null ? undefined : byId.get(at.parentId)
    }
    for (let next = path.pop(); next !== undefined; next = path.pop())
      walked.set(next.id, below(next, next.parentId === null ? undefined : walked.get(next.parentId)))
  }
  return walked
}

function below<F extends CheckpointFact>(fact: F, parent: Walked<F> | undefined): Walked<F> {
  const root = parent?.root ?? fact.id
  let starts = parent?.starts ?? new Map<string | null, CheckpointId>()
  if (fact.trigger === 'start' && isRestorable(fact) && !starts.has(fact.sourceSha256)) starts = new Map(starts).set(fact.sourceSha256, fact.id)
  return {
    fact,
    notBeforeMs: Math.max(fact.createdAtMs, parent?.notBeforeMs ?? fact.createdAtMs),
    depth: (parent?.depth ?? -1) + 1,
    restorable: isRestorable(fact) ? fact.id : (parent?.restorable ?? null),
    root,
    starts,
    diffBase: starts.get(fact.sourceSha256) ?? root,
  }
}

/** Newest first. Ids are compared last, so that the answer does not depend on the order of the question. */
export function newestFirst(one: OnLine, other: OnLine): number {
  return other.notBeforeMs - one.notBeforeMs || other.depth - one.depth || (one.fact.id < other.fact.id ? 1 : one.fact.id > other.fact.id ? -1 : 0)
}
