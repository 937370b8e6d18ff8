/** How a chain of budgets stands between two calls: which limit is met, what shall happen at it, and the one command that lets the work go on. */
import { formatUsd, NANO_PER_USD } from '@autovibe/contract'
import { availableOf, metOf, reachedOf, tightestOf } from '@autovibe/core/budgets/account.ts'
import { greatest } from '@autovibe/core/budgets/extremes.ts'
import type { Chain, Link } from './chain.ts'
import type { Standing } from './ledger.ts'

const CENT = NANO_PER_USD / 100n

/** What a chain that was just read comes to; a period that has ended counts as begun anew, also where nobody has moved its row yet. */
export function standingOf(chain: Chain, now: Date): Standing {
  const [first, ...others] = chain
  const current: Chain = [renewed(first, now), ...others.map((link) => renewed(link, now))]
  const met = metOf(current)
  return {
    available: availableOf(current),
    met: met === undefined ? null : { budgetId: met.id, policy: met.policy, sentence: sentenceOf(met) },
    reachedPercent: reachedOf(current),
    raise: raiseCommand(met ?? tightestOf(current)),
  }
}

const renewed = (link: Link, now: Date): Link => (link.periodEndsAt !== null && !link.isClosed && link.periodEndsAt <= now ? { ...link, settled: 0n } : link)

function sentenceOf(link: Link): string {
  const owner = `the ${link.period === 'total' ? '' : `${link.period} `}budget of the ${link.scope} ${link.scopeId}`
  if (link.isClosed) return `It is closed: ${owner}.`
  if (link.isFrozen) return `It is frozen, because a bill was above what had been reserved for it: ${owner}.`
  return `Nothing is left of ${owner} (limit ${formatUsd(link.limit)}).`
}

/** A dollar above what is used, in whole cents. Of a run its id: raising its limit raises that of the machine, which was born with the same, as far as it stands in the way. */
function raiseCommand(link: Link): string {
  const used = link.settled + link.reserved
  const amount = (greatest(link.limit, used) + NANO_PER_USD + CENT - 1n) / CENT
  const ref = link.period === 'total' ? link.scopeId : link.id
  return `autovibe budget set ${ref} ${amount / 100n}.${(amount % 100n).toString().padStart(2, '0')}`
}
