import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BudgetStatus, UsageReport } from '@autovibe/contract'
import fc from 'fast-check'
import { RUN_ID } from '../test/door-server.ts'
import { type Consumed, ResourceTracker, refusalOf } from './tracker.ts'

const STATUS: BudgetStatus = { spent: '1', limit: '10', available: '9', revision: 1, limit_met: null, winding_down: false, reached_percent: null }

test('whole seconds are reported, the rest is carried over, and nothing is reported twice or lost', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.double({ min: 0, max: 20, noNaN: true }), fc.double({ min: 0, max: 20, noNaN: true }), fc.boolean()), { maxLength: 15 }),
      async (spans) => {
        const reports: UsageReport[] = []
        let now: Consumed = { wallSeconds: 100, cpuSeconds: 3, cpuQuality: 'measured' }
        let isRefused = false
        const door = {
          usage: async (report: UsageReport): Promise<BudgetStatus> => {
            if (isRefused) throw new Error('refused')
            reports.push(report)
            return STATUS
          },
        }
        const tracker = new ResourceTracker(
          door,
          RUN_ID,
          () => undefined,
          () => now,
        )
        for (const [wall, cpu, refused] of spans) {
          now = { ...now, wallSeconds: now.wallSeconds + wall, cpuSeconds: now.cpuSeconds + cpu }
          isRefused = refused
          await tracker.report()
        }
        isRefused = false
        await tracker.finish()
        const sum = (resource: string): number =>
          reports.flatMap(({ usage }) => usage).reduce((total, one) => (one.resource === resource ? total + Number(one.amount) : total), 0)
        assert.equal(new Set(reports.map(({ id }) => id)).size, reports.length)
        assert.deepEqual([sum('wall_seconds'), sum('cpu_seconds')], [Math.floor(now.wallSeconds - 100), Math.floor(now.cpuSeconds - 3)])
      },
    ),
    { numRuns: 50 },
  )
})

test('a call is refused locally while a limit is met, but where the work is wound down the gateway decides', () => {
  const refused = (policy: 'park' | 'finish-step' | 'wind-down') => refusalOf({ ...STATUS, limit_met: { policy, sentence: 'The budget is used up.' } })
  assert.deepEqual(
    [refused('park'), refused('finish-step'), refused('wind-down'), refusalOf(STATUS), refusalOf(undefined)],
    ['The budget is used up.', 'The budget is used up.', null, null, null],
  )
})
