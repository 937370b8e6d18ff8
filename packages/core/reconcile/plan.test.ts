/** The comparison of rows with the world: what is put right, what is left alone, and never before its grace. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MACHINE_STATES, type MachineId } from '@autovibe/contract'
import fc from 'fast-check'
import { afterSilence, GRACE_MS, type Look, type MachineFact, planReconciliation, SILENCE_MS, type Suspicions } from './plan.ts'

const NOW = 1_000_000_000
const id = (n: number): MachineId => `mch_${n.toString().padStart(26, '0')}`

const look = (part: Partial<Look>): Look => ({ machines: [], observed: [], strandedCheckpoints: [], suspicions: new Map(), nowMs: NOW, ...part })
const healthy = (n: number, part: Partial<MachineFact> = {}): MachineFact => ({
  id: id(n),
  state: 'ready',
  inHands: false,
  lastHeartbeatAtMs: NOW,
  isClosed: false,
  restartsLeft: 0,
  ...part,
})

/** The actions after the grace has passed with nothing changed. */
function after(first: Look) {
  const { suspicions } = planReconciliation(first)
  return planReconciliation({
    ...first,
    suspicions,
    nowMs: NOW + GRACE_MS,
    machines: first.machines.map((m) => ({ ...m, lastHeartbeatAtMs: m.lastHeartbeatAtMs === NOW ? NOW + GRACE_MS : m.lastHeartbeatAtMs })),
  }).actions
}

test('a machine that runs and beats is left alone', () => {
  assert.deepEqual(after(look({ machines: [healthy(1)], observed: [{ id: id(1), running: true }] })), [])
})

test('what no row knows is removed after its grace', () => {
  const orphan = look({ observed: [{ id: id(1), running: true }] })
  assert.deepEqual(planReconciliation(orphan).actions, [])
  assert.deepEqual(after(orphan), [{ kind: 'remove-orphan', machineId: id(1) }])
})

test('what is left of a destroyed machine is removed', () => {
  assert.deepEqual(after(look({ machines: [healthy(1, { state: 'destroyed' })], observed: [{ id: id(1), running: false }] })), [
    { kind: 'remove-orphan', machineId: id(1) },
  ])
})

test('a machine that is gone, ended by itself, or silent fails with the reason', () => {
  const reasons = [
    look({ machines: [healthy(1)] }),
    look({ machines: [healthy(1)], observed: [{ id: id(1), running: false }] }),
    look({ machines: [healthy(1, { lastHeartbeatAtMs: NOW - SILENCE_MS - 1 })], observed: [{ id: id(1), running: true }] }),
  ].map((wrong) => after(wrong).map((action) => (action.kind === 'fail-machine' ? action.reason : action.kind)))
  assert.deepEqual(reasons, [['The machine is gone from the substrate.'], ['The machine ended by itself.'], ['The agent was not heard from for 60 s.']])
})

test('a machine that was left while it was made, or while it was destroyed, is destroyed', () => {
  assert.deepEqual(after(look({ machines: [healthy(1, { state: 'stopping', isClosed: true })] })), [{ kind: 'destroy-machine', machineId: id(1) }])
  for (const state of ['requested', 'provisioning'] as const) {
    assert.deepEqual(after(look({ machines: [healthy(1, { state })] })), [{ kind: 'destroy-machine', machineId: id(1) }])
  }
})

test('a machine that was left while it was stopped keeps its tree, and one that runs although it should not is halted', () => {
  const left = [
    look({ machines: [healthy(1, { state: 'stopping' })], observed: [{ id: id(1), running: true }] }),
    look({ machines: [healthy(1, { state: 'stopped' })], observed: [{ id: id(1), running: true }] }),
    look({ machines: [healthy(1, { state: 'failed' })], observed: [{ id: id(1), running: true }] }),
  ]
  assert.deepEqual(
    left.map((wrong) => after(wrong).map(({ kind }) => kind)),
    [['fail-machine'], ['fail-machine'], ['fail-machine']],
  )
  assert.deepEqual(after(look({ machines: [healthy(1, { state: 'failed' })], observed: [{ id: id(1), running: false }] })), [])
})

test('a machine at rest is started only when the end of a Hub has stopped it, it does not run and tries are left', () => {
  for (const state of ['stopped', 'failed'] as const) {
    const atRest = (restartsLeft: number, running = false, isClosed = false) =>
      after(look({ machines: [healthy(1, { state, restartsLeft, isClosed })], observed: [{ id: id(1), running }] })).map(({ kind }) => kind)
    assert.deepEqual([atRest(1), atRest(0), atRest(1, true), atRest(1, false, true)], [['start-machine'], [], ['fail-machine'], ['destroy-machine']])
  }
})

test('a trouble that passes within its grace is forgotten', () => {
  const first = planReconciliation(look({ machines: [healthy(1)] }))
  const well = planReconciliation(look({ machines: [healthy(1)], observed: [{ id: id(1), running: true }], suspicions: first.suspicions, nowMs: NOW + 1 }))
  assert.equal(well.suspicions.size, 0)
})

const SWEEP_MS = 5_000

/** The looks of a sweep that never sees the machine, one each few seconds: true where the cluster answered. Answers after how many something was done; null for never. */
function actsAfter(answered: readonly boolean[]): number | null {
  let suspicions: Suspicions = new Map()
  for (const [count, hasAnswered] of answered.entries()) {
    const nowMs = NOW + count * SWEEP_MS
    if (!hasAnswered) suspicions = afterSilence(suspicions)
    else {
      const plan = planReconciliation(look({ machines: [healthy(1)], suspicions, nowMs }))
      if (plan.actions.length > 0) return count
      suspicions = plan.suspicions
    }
  }
  return null
}

const repeated = (pattern: readonly boolean[], times: number): boolean[] => Array.from({ length: times }, () => pattern).flat()

test('a cluster that comes and goes does not keep anything from being put right', () => {
  assert.equal(actsAfter([true, true, true, true]), 3)
  assert.equal(actsAfter(repeated([true, false], 20)), 6)
  const [up, down] = [[true, true, true], Array.from({ length: 12 }, () => false)]
  assert.equal(actsAfter(repeated([...up, ...down], 20)), 16, 'at the second look after the silence')
})

test('a silence proves nothing: it takes as many looks as without it, and more than one after a long one', () => {
  assert.equal(actsAfter([true, ...Array.from({ length: 200 }, () => false)]), null)
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 80 }), (answered) => {
      const acted = actsAfter(answered)
      if (acted === null) return
      const seen = answered.slice(0, acted + 1)
      assert.equal(seen.at(-1), true)
      assert.ok(seen.filter((each) => each).length > GRACE_MS / SWEEP_MS)
      const silence = seen.slice(0, -1).lastIndexOf(true)
      assert.ok(acted - silence <= GRACE_MS / SWEEP_MS, 'never at the first look after a silence as long as the grace')
    }),
  )
})

test('what was well at one look begins anew', () => {
  const { suspicions } = planReconciliation(look({ machines: [healthy(1)] }))
  const well = planReconciliation(
    look({ machines: [healthy(1)], observed: [{ id: id(1), running: true }], suspicions: afterSilence(suspicions), nowMs: NOW + 5_000 }),
  )
  const again = planReconciliation(look({ machines: [healthy(1)], suspicions: afterSilence(well.suspicions), nowMs: NOW + GRACE_MS }))
  assert.deepEqual([...again.suspicions.values()], [{ wrongMs: 0, seenAtMs: NOW + GRACE_MS }])
})

test('whatever the world looks like, a machine in the hands of an operation is not touched, and nothing is acted on at first sight', () => {
  const machine = fc.record({
    n: fc.integer({ min: 0, max: 5 }),
    state: fc.constantFrom(...MACHINE_STATES),
    inHands: fc.boolean(),
    lastHeartbeatAtMs: fc.option(fc.integer({ min: NOW - 200_000, max: NOW })),
    isClosed: fc.boolean(),
    restartsLeft: fc.integer({ min: 0, max: 3 }),
  })
  fc.assert(
    fc.property(
      fc.uniqueArray(machine, { selector: ({ n }) => n }),
      fc.uniqueArray(fc.record({ n: fc.integer({ min: 0, max: 7 }), running: fc.boolean() }), { selector: ({ n }) => n }),
      (machines, observed) => {
        const facts = look({
          machines: machines.map(({ n, ...rest }) => ({ id: id(n), ...rest })),
          observed: observed.map(({ n, running }) => ({ id: id(n), running })),
        })
        const first = planReconciliation(facts)
        assert.deepEqual(first.actions, [])
        const held = new Set(facts.machines.filter(({ inHands }) => inHands).map((fact) => fact.id))
        for (const action of after(facts)) if ('machineId' in action) assert.ok(!held.has(action.machineId))
        assert.deepEqual(planReconciliation(facts), first)
      },
    ),
  )
})
