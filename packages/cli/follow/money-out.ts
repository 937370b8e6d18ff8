/** A run that is paused because its money is out: how it is known, which limit stands in the way, and the one command that lets it go on. */
import { type AutovibeError, type Budget, NANO_PER_USD, type Run } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'
import { dollars } from '../render/money.ts'

/** The Hub goes by the same word when a limit is raised. */
export const isForMoney = (reason: string | null): boolean => /budget/i.test(reason ?? '')

export const isOutOfMoney = (run: Run): boolean => run.state === 'paused' && isForMoney(run.state_reason)

/** Longer than a chain of budgets can be. */
const LINKS_MAX = 8
const CENT = NANO_PER_USD / 100n

/** The command that raises the limit which stands in the way, by a dollar above what is used of it; `refused` is the newest refusal, which names that limit. */
export async function raiseCommand(client: Autovibe, run: Run, refused: AutovibeError | null, options: CallOptions): Promise<string> {
  const named = /\bbud_[0-9a-z]{26}\b/.exec(refused?.fix ?? '')?.[0]
  const tightest = named === undefined ? await tightestOf(client, run.budget_id, options) : await client.budgets.get(named, options)
  if (tightest === undefined) return raise(run.id, { limit: run.limit, settled: run.spent, reserved: run.held })
  // A machine is born with the limit of its run, so raising the run's raises both. Of a scope's other budgets, for a day or a week, only their ids tell.
  const ref = tightest.scope === 'run' ? run.id : tightest.scope === 'machine' ? run.machine_name : tightest.scope_id
  return raise(tightest.period === 'total' ? ref : tightest.id, tightest)
}

/** The one that leaves the least of the chain that begins with this one, the narrowest of equals. */
export async function tightestOf(client: Autovibe, from: Budget['id'] | null, options: CallOptions): Promise<Budget | undefined> {
  let tightest: Budget | undefined
  let id = from
  for (let links = 0; id !== null && links < LINKS_MAX; links++) {
    const budget: Budget = await client.budgets.get(id, options)
    if (tightest === undefined || restOf(budget) < restOf(tightest)) tightest = budget
    id = budget.parent_id
  }
  return tightest
}

/** The command with an amount that the next model call fits into as a rule. */
export function raise(ref: string, { limit, settled, reserved }: Pick<Budget, 'limit' | 'settled' | 'reserved'>): string {
  const used = BigInt(settled) + BigInt(reserved)
  const from = BigInt(limit) > used ? BigInt(limit) : used
  const amount = ((from + NANO_PER_USD + CENT - 1n) / CENT) * CENT
  return `autovibe budget set ${ref} ${dollars(amount).slice(1)}`
}

/** What one budget has left by itself; negative when its limit was lowered beneath what is used. */
export const restOf = (budget: Pick<Budget, 'limit' | 'settled' | 'reserved'>): bigint =>
  BigInt(budget.limit) - BigInt(budget.settled) - BigInt(budget.reserved)
