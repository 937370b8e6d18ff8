/** Projects full of checkpoints made by chance, for the property tests of retention. */
import { CHECKPOINT_STATES, type CheckpointId, type MachineId, type RetentionRules } from '@autovibe/contract'
import fc from 'fast-check'
import type { CheckpointFact } from './lines.ts'

export const HOUR_MS = 3_600_000
/** A Monday at noon. */
export const NOW_MS = Date.UTC(2026, 10, 30, 12)

export const checkpointId = (n: number): CheckpointId => `ckp_${n.toString().padStart(26, '0')}`
export const machineId = (n: number): MachineId => `mch_${n.toString().padStart(26, '0')}`

export const fact = (n: number, part: Partial<CheckpointFact> = {}): CheckpointFact => ({
  id: checkpointId(n),
  machineId: machineId(0),
  machineName: 'm0',
  parentId: n === 0 ? null : checkpointId(n - 1),
  state: 'verified',
  trigger: 'files-changed',
  sourceSha256: null,
  createdAtMs: NOW_MS - HOUR_MS + n,
  pinned: false,
  headOf: null,
  usedBy: null,
  ...part,
})

export const rulesArbitrary: fc.Arbitrary<RetentionRules> = fc.record({
  keep_last: fc.integer({ min: 1, max: 6 }),
  hourly: fc.integer({ min: 0, max: 5 }),
  daily: fc.integer({ min: 0, max: 4 }),
  weekly: fc.integer({ min: 0, max: 3 }),
})

/** Parents are mostly earlier ones, seldom any or none at all; the clock jumps both ways. */
export const factsArbitrary: fc.Arbitrary<CheckpointFact[]> = fc
  .array(
    fc.record({
      machine: fc.integer({ min: 0, max: 2 }),
      back: fc.oneof({ weight: 8, arbitrary: fc.constant(1) }, { weight: 2, arbitrary: fc.integer({ min: -3, max: 5 }) }),
      state: fc.oneof({ weight: 6, arbitrary: fc.constant('verified' as const) }, { weight: 2, arbitrary: fc.constantFrom(...CHECKPOINT_STATES) }),
      trigger: fc.constantFrom('start' as const, 'files-changed' as const, 'files-changed' as const),
      sourceSha256: fc.constantFrom(null, 'a'.repeat(64), 'b'.repeat(64)),
      hoursBack: fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 0, max: 24 * 40 }) }, { weight: 1, arbitrary: fc.integer({ min: -24 * 400, max: 0 }) }),
      need: fc.integer({ min: 0, max: 11 }),
    }),
    { maxLength: 40 },
  )
  .map((made) =>
    made.map(({ machine, back, state, trigger, sourceSha256, hoursBack, need }, n) =>
      fact(n, {
        machineId: machineId(machine),
        machineName: `m${machine}`,
        parentId: n - back < 0 || n - back >= made.length || back === 0 ? null : checkpointId(n - back),
        state,
        trigger,
        sourceSha256,
        createdAtMs: NOW_MS - hoursBack * HOUR_MS,
        pinned: need === 0,
        headOf: need === 1 ? `m${machine}` : null,
        usedBy: need === 2 ? 'fork-checkpoint' : null,
      }),
    ),
  )
