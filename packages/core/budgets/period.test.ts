import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type CalendarPeriod, endOfPeriod } from './period.ts'

const DAY_MS = 86_400_000
const moment = fc.date({ min: new Date('2000-01-01T00:00:00Z'), max: new Date('2200-01-01T00:00:00Z'), noInvalidDate: true })
const periods = fc.constantFrom<CalendarPeriod>('daily', 'weekly', 'monthly')
const ends = (period: CalendarPeriod, now: string) => endOfPeriod(period, new Date(now)).toISOString()

describe('the end of a period', () => {
  it('lies after every moment of the period, and never more than one period away', () => {
    const longest = { daily: DAY_MS, weekly: 7 * DAY_MS, monthly: 31 * DAY_MS }
    fc.assert(
      fc.property(moment, periods, (now, period) => {
        const awayMs = endOfPeriod(period, now).getTime() - now.getTime()
        assert.ok(awayMs > 0 && awayMs <= longest[period])
      }),
    )
  })

  it('is the same for every moment until then, and the beginning of the next', () => {
    fc.assert(
      fc.property(moment, periods, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (now, period, share) => {
        const end = endOfPeriod(period, now)
        const later = new Date(now.getTime() + Math.floor((end.getTime() - now.getTime()) * share))
        assert.deepEqual(endOfPeriod(period, later), end)
        assert.ok(endOfPeriod(period, end) > end)
      }),
    )
  })

  it('is a midnight: of any day, of a Monday, of the first of a month', () => {
    fc.assert(
      fc.property(moment, (now) => {
        for (const period of ['daily', 'weekly', 'monthly'] as const) assert.equal(endOfPeriod(period, now).getTime() % DAY_MS, 0)
        assert.equal(endOfPeriod('weekly', now).getUTCDay(), 1)
        assert.equal(endOfPeriod('monthly', now).getUTCDate(), 1)
      }),
    )
  })

  it('knows the ends of months and years, leap days, and weeks across a year', () => {
    assert.equal(ends('daily', '2026-12-31T23:59:59.999Z'), '2027-01-01T00:00:00.000Z')
    assert.equal(ends('daily', '2028-02-28T12:00:00Z'), '2028-02-29T00:00:00.000Z')
    assert.equal(ends('daily', '2100-02-28T12:00:00Z'), '2100-03-01T00:00:00.000Z')
    assert.equal(ends('monthly', '2028-02-29T00:00:00Z'), '2028-03-01T00:00:00.000Z')
    assert.equal(ends('monthly', '2026-01-31T23:59:59Z'), '2026-02-01T00:00:00.000Z')
    assert.equal(ends('monthly', '2026-12-01T00:00:00Z'), '2027-01-01T00:00:00.000Z')
    // 2026-12-28 is a Monday.
    assert.equal(ends('weekly', '2026-12-28T00:00:00Z'), '2027-01-04T00:00:00.000Z')
    assert.equal(ends('weekly', '2026-12-27T23:59:59.999Z'), '2026-12-28T00:00:00.000Z')
  })
})
