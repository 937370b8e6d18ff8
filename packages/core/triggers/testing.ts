/** Quiet points, money and settings of any kind, for property tests. */
import type { TriggerSettings } from '@autovibe/contract'
import fc from 'fast-check'
import type { Money, QuietPoint } from './checkpoint-trigger.ts'

export const point: fc.Arbitrary<QuietPoint> = fc.oneof(
  fc.constant<QuietPoint>({ kind: 'before-first-step' }),
  fc.record({ kind: fc.constant('before-command' as const), command: fc.constantFrom('ls', 'rm -rf x', 'make deploy'), filesChanged: fc.boolean() }),
  fc.record({ kind: fc.constant('step-ended' as const), filesChanged: fc.boolean() }),
  fc.constant<QuietPoint>({ kind: 'run-ended' }),
)

export const money: fc.Arbitrary<Money> = fc.record({ spentNanoUsd: fc.bigInt(0n, 2000n), limitNanoUsd: fc.bigInt(0n, 1000n) })

export const settings: fc.Arbitrary<TriggerSettings> = fc.record({
  after_response: fc.constantFrom('always' as const, 'when-files-changed' as const, 'never' as const),
  before_risky: fc.boolean(),
  risky_patterns: fc.constantFrom([], ['make *']),
  every_minutes: fc.nat(3),
  every_budget_percent: fc.constantFrom(0, 5, 10, 50),
  at_end: fc.boolean(),
  floor_seconds: fc.nat(200),
})
