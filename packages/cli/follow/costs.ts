/** Keeps what is told of a run's money adding up: whatever was told of steps and beside them is, in the end, what the ledger says. */
import type { Run, Step, StepOutcome } from '@autovibe/contract'

export interface StepMoment {
  readonly type: 'step_finished' | 'step_interrupted'
  readonly step: Step
  /** How much of its cost was told already: of a step that was interrupted and went on. */
  readonly cost_before: string
  /** All that was told so far, with this. */
  readonly spent: string
  readonly limit: string
}

/** A cost that no new step brings: of a call that was settled after its step was told, or of none. */
export interface CostMoment {
  readonly type: 'cost_changed'
  /** The step that it counts for; null when the run has none that it could. */
  readonly index: number | null
  /** Signed: what one step turns out to have cost, another may not. */
  readonly change: string
  readonly spent: string
  readonly limit: string
}

/** What was told of the costs of a run. */
export interface ToldCosts {
  readonly steps: ReadonlyMap<number, { readonly outcome: StepOutcome; readonly cost: bigint }>
  /** What counts for no step. */
  readonly beside: bigint
  /** The sum of all that was told. */
  readonly spent: bigint
}

export const NO_COSTS_TOLD: ToldCosts = { steps: new Map(), beside: 0n, spent: 0n }

interface SeenCosts {
  readonly run: Run
  readonly steps: readonly Step[]
  readonly isWhole: boolean
}

/** The steps that have ended since, in the order of their ends, and, of a run at rest, the changes of what was told before; every one with the sum that it leads to. */
export function costsSince(
  told: ToldCosts,
  { run, steps, isWhole }: SeenCosts,
  isAtRest: boolean,
): { readonly steps: StepMoment[]; readonly changes: CostMoment[]; readonly told: ToldCosts } {
  const known = new Map(told.steps)
  const limit = run.limit
  let { spent, beside } = told
  const add = (amount: bigint): string => {
    spent += amount
    return spent.toString()
  }

  const ended: StepMoment[] = []
  const differing: { readonly index: number; readonly change: bigint }[] = []
  for (const step of [...steps].sort(byEnd)) {
    if (step.outcome === null) continue
    const cost = BigInt(step.cost)
    const before = known.get(step.index)
    const costBefore = before?.cost ?? 0n
    const hasEnded = before?.outcome !== step.outcome
    // As long as it works, a call may count for one step until its own has been told of.
    if (!hasEnded && (cost === costBefore || !isAtRest)) continue
    known.set(step.index, { outcome: step.outcome, cost })
    if (hasEnded) ended.push({ type: `step_${step.outcome}`, step, cost_before: costBefore.toString(), spent: add(cost - costBefore), limit })
    else differing.push({ index: step.index, change: cost - costBefore })
  }
  // They stand behind the steps, and so do their sums.
  const changes: CostMoment[] = differing.map(({ index, change }) => ({ type: 'cost_changed', index, change: change.toString(), spent: add(change), limit }))

  const now = BigInt(run.spent) - steps.reduce((sum, { cost }) => sum + BigInt(cost), 0n)
  if (isAtRest && isWhole && now !== beside) {
    const change = now - beside
    beside = now
    changes.push({ type: 'cost_changed', index: null, change: change.toString(), spent: add(change), limit })
  }
  return { steps: ended, changes, told: { steps: known, beside, spent } }
}

function byEnd(a: Step, b: Step): number {
  const [first, second] = [a.ended_at ?? '', b.ended_at ?? '']
  return first === second ? a.index - b.index : first < second ? -1 : 1
}
