/** The periods of the calendar, in UTC, for which a budget may be a cap. */
import type { BudgetPeriod } from '@autovibe/contract'

/** A period that ends. */
export type CalendarPeriod = Exclude<BudgetPeriod, 'total'>

const MONDAY = 1
const DAYS_OF_WEEK = 7

/** When the period that holds this moment ends: the first midnight (of any day, of a Monday, of the first of a month) after it. */
export function endOfPeriod(period: CalendarPeriod, now: Date): Date {
  const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()]
  if (period === 'daily') return midnight(year, month, day + 1)
  if (period === 'monthly') return midnight(year, month + 1, 1)
  const sinceMonday = (now.getUTCDay() + DAYS_OF_WEEK - MONDAY) % DAYS_OF_WEEK
  return midnight(year, month, day + DAYS_OF_WEEK - sinceMonday)
}

/** Days and months beyond the last of theirs are those of the next. */
const midnight = (year: number, month: number, day: number): Date => new Date(Date.UTC(year, month, day))
