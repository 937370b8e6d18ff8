/** autovibe budget: caps and the ledger. */
import { act, define, group } from './define.ts'

const REF = 'a run, machine, project, budget id or "organisation"'

export const budgetCommand = () =>
  group('budget', 'Show and change budgets, and read the ledger', [
    act(
      define('show', 'Show budgets: limit, spent, held, left').argument('[ref]', `${REF} (default: all that are open)`),
      async () => (await import('../actions/budget.ts')).budgetShow,
    ),
    act(
      define('set', 'Set the limit of a budget', 'Raising the limit of a run that was paused for money lets it go on.')
        .argument('<ref>', REF)
        .argument('<usd>', 'the new limit in US dollars'),
      async () => (await import('../actions/budget.ts')).budgetSet,
    ),
    act(define('ledger', 'List every movement of a budget').argument('<ref>', REF), async () => (await import('../actions/budget.ts')).budgetLedger),
  ])
