/** autovibe budget: caps and the ledger. */
import { act, define, group } from './define.ts'

export interface BudgetShowOptions {
  readonly all?: boolean
}

export interface BudgetSetOptions {
  readonly period?: string
  readonly onLimit?: string
  readonly warnAt?: string
  readonly greediness?: string
}

export interface BudgetLedgerOptions {
  readonly tail?: string
  readonly before?: string
  readonly all?: boolean
}

const REF =
  'the id of a run; the name or id of a machine (all that its runs may spend) or project, or project:NAME where both have the name; a budget id; "organisation"'

export const budgetCommand = () =>
  group('budget', 'Show and change budgets, and read the ledger', [
    act<BudgetShowOptions>(
      define(
        'show',
        'Show budgets as a tree: limit, spent, held, left',
        'Without one of its commands, autovibe budget does this. Left is what may still be spent now, which is less where a budget above allows less.',
      )
        .argument('[ref]', `${REF} (default: all that are open and have a limit or have spent something)`)
        .option('--all', 'closed ones too, and those without limit and spending'),
      async () => (await import('../actions/budget.ts')).budgetShow,
    ),
    act<BudgetSetOptions>(
      define(
        'set',
        'Set the limit of a budget, or cap the organisation or a project',
        [
          'A run that was paused for money goes on as soon as its limit and all above it leave enough.',
          'The name of a machine always stands for the machine: for what all of its runs may spend together. The run at work there follows, unless it was given less; then name it by its id.',
          'A machine comes before a project of the same name.',
          'The organisation and each project may have a cap for each day, week and month beside the limit for all their time: autovibe budget set project:NAME 5 --period daily',
        ].join('\n'),
      )
        .argument('<ref>', REF)
        .argument('[usd]', 'the new limit in US dollars, or none: no limit, of the organisation or a project (default: as it is)')
        .option('--period <period>', 'the cap for each daily, weekly or monthly period by the calendar in UTC, or total: for all time (default: total)')
        .option(
          '--on-limit <policy>',
          'what happens to a run that meets it: park (it stands still at once), finish-step, or wind-down (it closes its work and reports)',
        )
        .option('--warn-at <percents>', 'tell when so much of the limit is used, for instance 50,80,95; none: never')
        .option('--greediness <share>', 'of a project: how much of what is left above it one call may hold, from 0.0 to 1.0'),
      async () => (await import('../actions/budget.ts')).budgetSet,
    ),
    act<BudgetLedgerOptions>(
      define('ledger', 'List the movements of a budget, the newest last', 'Each row says what the budget came to by it.')
        .argument('<ref>', REF)
        .option('--tail <rows>', 'only so many of them (default: 50)')
        .option('--before <row>', 'only those before this row, to page back')
        .option('--all', 'all of them, as --json does'),
      async () => (await import('../actions/budget.ts')).budgetLedger,
    ),
    act(
      define('audit', 'Recompute every balance from the ledger', 'Changes nothing. Ends with exit code 1 when something does not agree.'),
      async () => (await import('../actions/budget.ts')).budgetAudit,
    ),
  ]).usage('[COMMAND]')
