/** The words after `autovibe budget set`: read as what the Hub wants, and said again as what they mean. */
import { AutovibeError, BUDGET_PERIODS, type Budget, type BudgetPeriod, type BudgetPolicy, parseUsd } from '@autovibe/contract'
import { readPolicy } from '../amounts.ts'
import type { BudgetSetOptions } from '../commands/budget.ts'
import { quote } from '../git/repository.ts'
import { isLimited } from '../render/budget-tree.ts'
import { dollars, UNLIMITED } from '../render/money.ts'
import { nearest } from '../render/nearest.ts'
import { inFull, refOf, type Target } from './budget-target.ts'

/** What shall be set; what is undefined stays. */
export interface Wish {
  readonly limit: string | undefined
  /** Undefined: whichever the named budget has, or the one for all time. */
  readonly period: BudgetPeriod | undefined
  readonly settings: { readonly policy?: BudgetPolicy; readonly thresholds?: number[]; readonly share?: number }
}

const PERCENTS_MAX = 10

export function readWish(ref: string, amount: string | undefined, options: BudgetSetOptions): Wish {
  if (amount !== undefined && parseUsd(ref) !== undefined && readAmount(amount) === undefined)
    throw new AutovibeError('request.invalid', `${JSON.stringify(amount)} is not an amount in US dollars: whose limit it is comes first, then the amount.`, {
      fix: `autovibe budget set ${quote(amount)} ${quote(ref)}${options.period === undefined ? '' : ` --period ${quote(options.period)}`}`,
    })
  const settings = {
    ...(options.onLimit === undefined ? {} : { policy: readPolicy(options.onLimit) }),
    ...(options.warnAt === undefined ? {} : { thresholds: readPercents(ref, options.warnAt) }),
    ...(options.greediness === undefined ? {} : { share: readShare(ref, options.greediness) }),
  }
  const period = readPeriod(ref, amount, options.period)
  if (amount === undefined && Object.keys(settings).length === 0)
    throw new AutovibeError('request.invalid', 'Nothing is said that should be set: a limit in US dollars, for instance.', {
      fix: `autovibe budget set ${quote(ref)} 2.00`,
    })
  return { limit: amount === undefined ? undefined : readLimit(ref, amount), period, settings }
}

function readLimit(ref: string, amount: string): string {
  const limit = readAmount(amount)
  const fix = `autovibe budget set ${quote(ref)} 2.00`
  if (limit === undefined) throw new AutovibeError('request.invalid', `${JSON.stringify(amount)} is not an amount in US dollars.`, { fix })
  if (limit === 0n) throw new AutovibeError('request.invalid', 'The limit must be more than $0: nothing can run for nothing.', { fix })
  return limit.toString()
}

/** `none` takes a limit away, as the tree of budgets says it. */
const readAmount = (text: string): bigint | undefined => (text === 'none' ? UNLIMITED : parseUsd(text))

function readPeriod(ref: string, amount: string | undefined, text: string | undefined): BudgetPeriod | undefined {
  const period = BUDGET_PERIODS.find((known) => known === text)
  if (text === undefined || period) return period
  const meant = nearest(text, BUDGET_PERIODS)
  throw new AutovibeError('request.invalid', `There is no period ${JSON.stringify(text)}: one of ${BUDGET_PERIODS.join(', ')}.`, {
    fix:
      meant === undefined
        ? 'autovibe budget set --help'
        : ['autovibe budget set', quote(ref), ...(amount === undefined ? [] : [quote(amount)]), '--period', meant].join(' '),
  })
}

function readPercents(ref: string, text: string): number[] {
  if (text === 'none') return []
  const percents = text.split(',').map((each) => (/^\s*[1-9][0-9]?\s*%?\s*$/.test(each) ? Number.parseInt(each, 10) : 0))
  if (!percents.includes(0) && percents.length <= PERCENTS_MAX) return percents
  throw new AutovibeError('request.invalid', `--warn-at takes up to ${PERCENTS_MAX} percents from 1 to 99, or none, not ${JSON.stringify(text)}.`, {
    fix: `autovibe budget set ${quote(ref)} --warn-at 50,80,95`,
  })
}

/** A share, and no sum: the wire has it as a number, told to the millionth. */
function readShare(ref: string, text: string): number {
  if (/^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$/.test(text)) return Number(text)
  throw new AutovibeError('request.invalid', `--greediness takes a number from 0.0 to 1.0 with at most six decimals, not ${JSON.stringify(text)}.`, {
    fix: `autovibe budget set ${quote(ref)} --greediness 0.5`,
  })
}

const EACH: Readonly<Record<BudgetPeriod, string>> = { total: 'in all', daily: 'each day', weekly: 'each week', monthly: 'each month' }

const AT_LIMIT: Readonly<Record<BudgetPolicy, string>> = {
  park: 'stands still',
  'finish-step': 'finishes its step',
  'wind-down': 'is wound down',
}

/** What the budget of an organisation or a project means, in one sentence. */
export function meaningOf(target: Target, budget: Budget): string {
  const who = target.kind === 'organisation' ? 'All projects together' : `All machines of the ${inFull(target)} together`
  const limited = isLimited(budget) ? `may spend ${dollars(BigInt(budget.limit))} ${EACH[budget.period]}` : 'may spend without a limit'
  const { thresholds, share, policy } = budget
  const anew = budget.period_ends_at === null ? '' : ` (begins anew at ${budget.period_ends_at.slice(0, 16).replace('T', ' ')} UTC)`
  const percents = new Intl.ListFormat('en').format(thresholds.map((percent) => `${percent} %`))
  const met = policy === 'park' ? '' : `; a run that meets it ${AT_LIMIT[policy]}`
  const hold = share === 1 ? '' : `; one call of it may hold at most ${share} of what is left above it`
  return `${who} ${limited}${anew}, ${percents === '' ? 'without a warning' : `with a warning at ${percents}`}${met}${hold}.`
}

/** Said where a cap is asked for of what cannot have one. */
export function assertMayHave(target: Target, { limit, period, settings }: Wish): void {
  const { kind, budget } = target
  const mayBeUnlimited = kind === 'organisation' || kind === 'project'
  if (limit === UNLIMITED.toString() && !mayBeUnlimited)
    throw new AutovibeError('request.invalid', `A ${kind} always has a limit; none is for the organisation and for projects.`, {
      fix: `autovibe budget set ${refOf(target)} ${amountOf(undefined)}`,
    })
  if (period !== undefined && budget !== null && period !== budget.period)
    throw new AutovibeError('request.invalid', `The budget ${budget.id} is the ${budget.period} one of its ${kind}, which stays so.`, {
      fix: `autovibe budget set ${target.id} ${amountOf(limit)} --period ${period}`,
    })
  if (period !== undefined && period !== 'total' && !mayBeUnlimited)
    throw new AutovibeError('request.invalid', `A ${kind} has one limit for all its time: caps for a period are for the organisation and for projects.`, {
      fix: `autovibe budget set ${refOf(target)} ${amountOf(limit)}`,
    })
  if (settings.share !== undefined && kind !== 'project')
    throw new AutovibeError('request.invalid', `Only a project has a greediness, and this is the ${inFull(target)}.`, {
      fix: 'autovibe budget set project:NAME --greediness 0.5',
    })
}

/** The limit as it would be typed; an example where none was. */
const amountOf = (limit: string | undefined): string => (limit === undefined ? '2.00' : dollars(BigInt(limit)).slice(1))
