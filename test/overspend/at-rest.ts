/** What must be true of the money when all is at rest: nothing is held, the rows add up, and each call stands in the ledger at what it was billed. */
import { billedBelow, faultsOf, sumBy } from './invariants.ts'
import type { Bill } from './provider-bill.ts'
import type { Outcome } from './spenders.ts'
import type { BudgetRow, World } from './world.ts'

interface UsageRow {
  readonly id: string
  readonly run_id: string
  readonly message_id: string | null
  readonly quality: 'measured' | 'estimated'
  readonly cost: bigint
  /** Settled by a take-over, because its holder had died. */
  readonly lost: boolean
}

export interface Rest {
  readonly budgets: readonly BudgetRow[]
  readonly usage: readonly UsageRow[]
  /** Sums of the ledger's rows, by the run whose budget they are on. */
  readonly entries: readonly { readonly run_id: string; readonly reserved: bigint; readonly settled: bigint }[]
  /** Reservations that are open, or that were settled for more than they held. */
  readonly badHolds: readonly { readonly id: string; readonly state: string; readonly amount: bigint; readonly settled_amount: bigint | null }[]
  readonly bills: readonly Bill[]
  readonly outcomes: readonly Outcome[]
  /** The gateway's last process, which ended in good order: no call of its is lost. */
  readonly lastGeneration: number
}

/** Reads what the ledger says. */
export async function readRest({ query, budgets }: World): Promise<Pick<Rest, 'budgets' | 'usage' | 'entries' | 'badHolds'>> {
  return {
    budgets: await budgets(),
    usage: await query(`select id, run_id, message_id, quality, cost, coalesce((detail ->> 'expired')::boolean, false) as lost from usage_events`),
    entries: await query(`select b.scope_id as run_id, sum(e.reserved_delta)::bigint as reserved, sum(e.settled_delta)::bigint as settled
      from ledger_entries e join budgets b on b.id = e.budget_id and b.scope = 'run' group by 1`),
    badHolds: await query(`select id, state, amount, settled_amount from reservations where state = 'open' or settled_amount > amount`),
  }
}

/** Every fault at rest; empty when the books are right to the nano-US-dollar. */
export function faultsAtRest(rest: Rest): string[] {
  return [...faultsOfBooks(rest), ...faultsOfCalls(rest), ...faultsOfTheLost(rest)]
}

/** The provider's bill within the limits, and each balance the sum of its rows. */
function faultsOfBooks({ budgets, bills, usage, entries, badHolds }: Rest): string[] {
  const settled = sumBy(entries, (row) => [row.run_id, row.settled])
  const reserved = sumBy(entries, (row) => [row.run_id, row.reserved])
  const used = sumBy(usage, (row) => [row.run_id, row.cost])
  const billed = sumBy(bills, (bill) => [bill.runId, bill.nanoUsd])
  const faults = budgets.flatMap((budget) => {
    const sums = [settled, used].map((byRun) => billedBelow(budgets, budget, byRun))
    const say = (fault: string) => `at rest, ${budget.scope} ${budget.scope_id}: ${fault}`
    return [
      ...(budget.reserved !== 0n ? [say(`${budget.reserved} is still reserved`)] : []),
      ...(billedBelow(budgets, budget, reserved) !== budget.reserved ? [say('the reserved balance is not the sum of its rows')] : []),
      ...(sums.some((sum) => sum !== budget.settled)
        ? [say(`${budget.settled} is settled, but its ledger rows and usage events sum up to ${sums.join(' and ')}`)]
        : []),
    ]
  })
  return [
    ...faultsOf(budgets, billed),
    ...faults,
    ...badHolds.map((hold) => `at rest, the hold ${hold.id} is ${hold.state} with ${hold.settled_amount} of ${hold.amount}`),
  ]
}

/** Each call by the id of its message. */
function faultsOfCalls({ usage, bills, outcomes, lastGeneration }: Rest): string[] {
  const named = Map.groupBy(usage, (row) => row.message_id ?? '')
  named.delete('')
  const outcomeOf = new Map(outcomes.map((outcome) => [outcome.call, outcome]))
  const faults: string[] = []
  for (const bill of bills) {
    const rows = named.get(bill.messageId) ?? []
    const [row] = rows
    const outcome = outcomeOf.get(bill.call)
    const say = (fault: string) => faults.push(`call ${bill.call}, ${bill.messageId}, billed ${bill.nanoUsd}: ${fault}`)
    if (rows.length > 1) say('was settled more than once')
    if (row && row.cost < bill.nanoUsd) say(`was settled at ${row.cost}`)
    if (row?.quality === 'measured' && row.cost !== bill.nanoUsd) say(`was measured as ${row.cost}`)
    const ended = outcome?.status === 200 && outcome.ended
    if (bill.exact && (ended || (bill.answered && outcome?.generation === lastGeneration)) && row?.quality !== 'measured')
      say(`ended normally and is ${row?.quality ?? 'not there'}`)
    if (bill.exact && ended && (outcome.saidNanoUsd ?? bill.nanoUsd) !== bill.nanoUsd) say(`its client was told ${outcome.saidNanoUsd}`)
  }
  const billed = new Set(bills.map((bill) => bill.messageId))
  for (const id of named.keys()) if (!billed.has(id)) faults.push(`the message ${id} was settled and never billed`)
  return faults
}

/** Calls of which the gateway never learned the message, by run: each was settled at its bound, and no call that was refused cost anything. */
function faultsOfTheLost({ usage, bills }: Rest): string[] {
  const known = new Set(usage.map((row) => row.message_id))
  const nameless = Map.groupBy(
    usage.filter((row) => row.message_id === null),
    (row) => row.run_id,
  )
  const unnamed = Map.groupBy(
    bills.filter((bill) => !known.has(bill.messageId)),
    (bill) => bill.runId,
  )
  return [...new Set([...nameless.keys(), ...unnamed.keys()])].flatMap((runId) => {
    const [rows, lost] = [nameless.get(runId) ?? [], unnamed.get(runId) ?? []]
    const kept = rows.filter((row) => !row.lost)
    const [settled, billed] = [rows.reduce((sum, row) => sum + row.cost, 0n), lost.reduce((sum, bill) => sum + bill.nanoUsd, 0n)]
    return [
      ...(rows.length < lost.length ? [`run ${runId}: ${lost.length} calls were billed of which ${rows.length} were settled`] : []),
      ...(settled < billed ? [`run ${runId}: ${billed} was billed for calls that were settled at ${settled}`] : []),
      ...(kept.length > lost.length ? [`run ${runId}: ${kept.length} calls were settled of which ${lost.length} were billed`] : []),
    ]
  })
}
