/** Shows budgets as the tree that they are, and lets the Hub audit them. */
import { AutovibeError, type Budget, EXIT } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'
import type { BudgetShowOptions } from '../commands/budget.ts'
import type { Action } from '../commands/define.ts'
import { beneath, matters, withAbove } from '../render/budget-tree.ts'
import { renderBudgets } from '../render/budgets.ts'
import { count, plain, plural, table } from '../render/text.ts'
import { namesOf } from './budget-names.ts'
import { budgetsOf, budgetTarget, inFull, type Target } from './budget-target.ts'

export { budgetLedger } from './budget-ledger.ts'
export { budgetSet } from './budget-set.ts'

/** More open ones than these are not alive at once, as a rule; where there are more, it is said. */
const SHOWN = 10_000
const PAGE = 1000
/** Longer than a chain of budgets can be: four scopes, each with caps for a day, a week and a month. */
const LINKS_MAX = 16

export const budgetShow: Action<BudgetShowOptions> = async (context, [ref], { all = false }) => {
  const client = await context.connect()
  const options = { signal: context.signal }
  const { out } = context
  const target = ref === undefined ? undefined : await budgetTarget(client, ref, options)
  const listed = await client.budgets.list({ ...(all ? {} : { open: true }), limit: PAGE }, options).take(SHOWN)
  const budgets = target === undefined ? listed : await partOf(client, target, listed, all, options)
  if (budgets.length === 0 && target !== undefined)
    throw new AutovibeError('not_found', `There is no budget of the ${inFull(target)}.`, { fix: 'autovibe budget show --all' })
  const above = await linksAbove(client, budgets, options)
  const known = [...above, ...budgets]
  const named = new Set(budgets)
  const shown = target === undefined ? (all ? known : withAbove(known, matters)) : withAbove(known, (budget) => named.has(budget))
  const names = out.json || shown.length === 0 ? new Map<string, string>() : await namesOf(client, options)
  out.answer({ budgets, above }, renderBudgets(shown, out.paint, { names, width: out.width }))
  if (listed.length === SHOWN) out.note(`These are the newest ${count(SHOWN)} alone. Of one project: autovibe budget show PROJECT`)
  return 0
}

/** What the scope has, the open one first, and what is open beneath it. */
async function partOf(client: Autovibe, target: Target, listed: readonly Budget[], all: boolean, options: CallOptions): Promise<Budget[]> {
  const own = await budgetsOf(client, target, options)
  const ids = new Set(own.map(({ id }) => id))
  return [...own, ...beneath(listed, ({ id }) => ids.has(id)).filter(({ closed_at }) => all || closed_at === null)]
}

/** What the chains of these hang on and is not among them, the widest first. */
async function linksAbove(client: Autovibe, budgets: readonly Budget[], options: CallOptions): Promise<Budget[]> {
  const known = new Map(budgets.map((budget) => [budget.id, budget]))
  const above: Budget[] = []
  for (let links = 0; links < LINKS_MAX; links++) {
    const missing = new Set([...known.values()].flatMap(({ parent_id }) => (parent_id === null || known.has(parent_id) ? [] : [parent_id])))
    if (missing.size === 0) break
    for (const id of missing) {
      const budget = await client.budgets.get(id, options)
      known.set(id, budget)
      above.unshift(budget)
    }
  }
  return above
}

export const budgetAudit: Action<unknown> = async (context) => {
  const client = await context.connect()
  const { out } = context
  out.live('recomputing every balance')
  const audit = await client.budgets.audit({ signal: context.signal })
  out.endLive()
  const { checked, findings } = audit
  const looked = [
    plural(checked.budgets, 'budget'),
    plural(checked.entries, 'row'),
    plural(checked.reservations, 'reservation'),
    plural(checked.usage_events, 'usage event'),
  ].join(', ')
  if (findings.length === 0) {
    out.answer(audit, [`${out.paint.green('✓')} Every balance agrees with its rows: ${looked}.`])
    return EXIT.ok
  }
  const [head = '', ...lines] = table(
    ['CHECK', 'OF', 'WHAT IS WRONG'],
    findings.map(({ check, subject, message }) => [check, plain(subject), plain(message)]),
  )
  out.answer(audit, [out.paint.bold(head), ...lines])
  const more = audit.is_complete ? '' : ', and more of the same kinds'
  out.note(
    `${out.paint.red('✗')} ${plural(findings.length, 'finding')}${more} in ${looked}. Nothing was changed: what a balance should be is for a person to say.`,
  )
  return EXIT.failed
}
