/** What must be true of the money at any moment, of every link of the chain: pure, so that it can be shown to notice one nano-US-dollar. */
import type { BudgetRow } from './world.ts'

/** Every fault in what was billed up to a moment and what the budgets said after it; empty when there is none. */
export function faultsOf(budgets: readonly BudgetRow[], billedByRun: ReadonlyMap<string, bigint>): string[] {
  return budgets.flatMap((budget) => {
    const billed = billedBelow(budgets, budget, billedByRun)
    const { limit, settled, reserved } = budget
    const say = (fault: string) => `${budget.scope} ${budget.scope_id}: ${fault} (limit ${limit}, settled ${settled}, reserved ${reserved}, billed ${billed})`
    return [
      ...(billed > limit ? [say('more was billed than the limit')] : []),
      ...(billed > settled + reserved ? [say('more was billed than is settled and reserved')] : []),
      ...(settled + reserved > limit ? [say('more is settled and reserved than the limit')] : []),
      ...(settled < 0n || reserved < 0n ? [say('less than nothing')] : []),
    ]
  })
}

/** Every budget that does not hold what the provider is working on. */
export function faultsUnderWay(budgets: readonly BudgetRow[], bills: Iterable<{ readonly runId: string; readonly nanoUsd: bigint }>): string[] {
  const byRun = sumBy(bills, (bill) => [bill.runId, bill.nanoUsd])
  return budgets.flatMap((budget) => {
    const underWay = billedBelow(budgets, budget, byRun)
    return underWay > budget.reserved ? [`${budget.scope} ${budget.scope_id}: ${underWay} is being spent, of which ${budget.reserved} is reserved`] : []
  })
}

/** The sum of what belongs to the runs at or below a budget. */
export function billedBelow(budgets: readonly BudgetRow[], budget: BudgetRow, byRun: ReadonlyMap<string, bigint>): bigint {
  if (budget.scope === 'run') return byRun.get(budget.scope_id) ?? 0n
  return budgets.filter((below) => below.parent_id === budget.id).reduce((sum, below) => sum + billedBelow(budgets, below, byRun), 0n)
}

/** The amounts of the rows, added up by a key of each. */
export function sumBy<T>(rows: Iterable<T>, part: (row: T) => readonly [string, bigint]): Map<string, bigint> {
  const sums = new Map<string, bigint>()
  for (const row of rows) {
    const [key, amount] = part(row)
    sums.set(key, (sums.get(key) ?? 0n) + amount)
  }
  return sums
}
