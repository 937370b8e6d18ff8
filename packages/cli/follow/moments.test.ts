import assert from 'node:assert/strict'
import test from 'node:test'
import type { Checkpoint, Operation, Run, Step } from '@autovibe/contract'
import fc from 'fast-check'
import { isSettled, momentsSince, NOTHING_TOLD, type Seen, type Told } from './moments.ts'

const at = (second: number) => new Date(second * 1000).toISOString()
const run = (more: Partial<Run> = {}): Run =>
  ({ id: 'run_x', state: 'running', state_reason: null, check_result: null, limit: '1000', spent: '0', ...more }) as Run
const step = (index: number, ended = true, more: Partial<Step> = {}): Step =>
  ({
    index,
    cost: String(index * 10),
    started_at: at(index * 10),
    ended_at: ended ? at(index * 10 + 5) : null,
    outcome: ended ? 'finished' : null,
    ...more,
  }) as Step
const checkpoint = (second: number, state: Checkpoint['state'] = 'verified'): Checkpoint =>
  ({ id: `ckp_${String(second).padStart(4, '0')}`, state, created_at: at(second) }) as Checkpoint
const operation = (states: Operation['steps'][number]['state'][], state: Operation['state'] = 'running'): Operation =>
  ({
    id: 'opr_x',
    kind: 'spawn-machine',
    state,
    error: null,
    steps: states.map((each, index) => ({ name: `s${index}`, state: each, started_at: at(0), ended_at: at(1) })),
  }) as unknown as Operation

const sum = (costs: readonly string[]): bigint => costs.reduce((total, cost) => total + BigInt(cost), 0n)
/** The ledger holds what its steps have cost. */
const seen = ({ run: of = run(), steps = [], ...more }: Partial<Seen> = {}): Seen => ({
  operation: null,
  run: { ...of, spent: sum(steps.map(({ cost }) => cost)).toString() },
  steps,
  checkpoints: [],
  isWhole: true,
  ...more,
})
const words = (told: Told, now: Seen) =>
  momentsSince(told, now).moments.map((moment) => {
    if (moment.type === 'step_finished') return `step ${moment.step.index} ${moment.spent}`
    if (moment.type === 'step_interrupted') return `interrupted ${moment.step.index} ${moment.spent}`
    if (moment.type === 'cost_changed') return `changed ${moment.index} ${moment.change} ${moment.spent}`
    if (moment.type === 'checkpoint') return `checkpoint ${moment.checkpoint.created_at.slice(17, 19)} ${moment.checkpoint.state}`
    if (moment.type === 'run_state') return `run ${moment.state}`
    return moment.type === 'operation_step' ? `${moment.name} ${moment.state}` : moment.type
  })

test('steps and checkpoints are told in the order of their times, with the sum of the costs so far', () => {
  const now = seen({ steps: [step(2), step(1), step(3, false)], checkpoints: [checkpoint(27), checkpoint(5), checkpoint(16), checkpoint(28, 'stored')] })
  assert.deepEqual(words(NOTHING_TOLD, now), [
    'run running',
    'checkpoint 05 verified',
    'step 1 10',
    'checkpoint 16 verified',
    'step 2 30',
    'checkpoint 27 verified',
  ])
})

test('the end of a run comes last, after its check', () => {
  const check_result = { command: 'npm test', exit_code: 0, output: '', duration_ms: 1 }
  assert.deepEqual(words(NOTHING_TOLD, seen({ run: run({ state: 'succeeded', check_result }), steps: [step(1)] })), [
    'step 1 10',
    'check_finished',
    'run succeeded',
  ])
})

test('an operation that unwinds tells its steps again, as undone', () => {
  const first = momentsSince(NOTHING_TOLD, seen({ operation: operation(['done', 'running']) }))
  assert.deepEqual(words(first.told, seen({ operation: operation(['undone', 'failed'], 'failed') })), ['s0 undone', 's1 failed', 'operation_ended'])
})

test('a run that is paused and goes on tells both', () => {
  const paused = momentsSince(NOTHING_TOLD, seen({ run: run({ state: 'paused' }) }))
  assert.deepEqual(words(paused.told, seen({ run: run({ state: 'running' }) })), ['run running'])
})

test('a step that was cut off is told with its cost; when it goes on, what it then costs is told on top', () => {
  const cut = step(2, true, { outcome: 'interrupted', cost: '7' })
  const first = momentsSince(NOTHING_TOLD, seen({ run: run({ state: 'paused' }), steps: [step(1), cut] }))
  assert.deepEqual(words(NOTHING_TOLD, seen({ run: run({ state: 'paused' }), steps: [step(1), cut] })), ['step 1 10', 'interrupted 2 17', 'run paused'])
  const again = { ...cut, ended_at: null, outcome: null }
  const second = momentsSince(first.told, seen({ steps: [step(1), again] }))
  assert.deepEqual(words(first.told, seen({ steps: [step(1), again] })), ['run running'])
  const [finished] = momentsSince(second.told, seen({ steps: [step(1), step(2, true, { cost: '20' })] })).moments
  assert.ok(finished?.type === 'step_finished')
  assert.deepEqual([finished.cost_before, finished.spent], ['7', '30'])
})

test('what is settled after its step was told, or for no step at all, is told as a change once the run rests', () => {
  const first = momentsSince(NOTHING_TOLD, seen({ steps: [step(1)] }))
  const dearer = [step(1, true, { cost: '12' })]
  assert.deepEqual(words(first.told, seen({ steps: dearer })), [], 'it may yet turn out to be of another step')
  assert.deepEqual(words(first.told, seen({ run: run({ state: 'paused' }), steps: dearer })), ['changed 1 2 12', 'run paused'])
  const ended = { ...run({ state: 'failed' }), spent: '15' }
  assert.deepEqual(words(first.told, { ...seen({ steps: [step(1)] }), run: ended }), ['changed null 5 15', 'run failed'])
  assert.deepEqual(words(first.told, { ...seen({ steps: [step(1)] }), run: ended, isWhole: false }), ['run failed'])
})

test('whatever is told of costs adds up line by line, and in the end to what the ledger says', () => {
  const outcome = fc.constantFrom<Step['outcome']>(null, 'interrupted', 'finished')
  const look = fc.record({
    steps: fc.array(fc.record({ outcome, cost: fc.bigInt(0n, 50n) }), { maxLength: 6 }),
    beside: fc.bigInt(0n, 20n),
    isWhole: fc.boolean(),
    state: fc.constantFrom<Run['state']>('running', 'paused'),
  })
  fc.assert(
    fc.property(fc.array(look, { maxLength: 6 }), look, (looks, last) => {
      let told: Told = NOTHING_TOLD
      let total = 0n
      let ledger = 0n
      let begun = 0
      for (const [number, one] of [...looks, { ...last, isWhole: true, state: 'failed' as const }].entries()) {
        begun = Math.max(begun, one.steps.length)
        const steps = Array.from({ length: begun }, (_, index) => {
          const { outcome = null, cost = 0n } = one.steps[index] ?? {}
          // At the end nobody is at work on any step.
          return step(index + 1, true, { cost: cost.toString(), outcome: number === looks.length ? (outcome ?? 'interrupted') : outcome })
        })
        ledger = sum(steps.map(({ cost }) => cost)) + one.beside
        const now = momentsSince(told, { ...seen({ steps, isWhole: one.isWhole }), run: { ...run({ state: one.state }), spent: ledger.toString() } })
        for (const moment of now.moments) {
          if (moment.type === 'cost_changed') total += BigInt(moment.change)
          else if (moment.type === 'step_finished' || moment.type === 'step_interrupted') total += BigInt(moment.step.cost) - BigInt(moment.cost_before)
          else continue
          assert.equal(moment.spent, total.toString())
        }
        told = now.told
      }
      assert.equal(total, ledger)
    }),
  )
})

test('nothing is told twice, and nothing is lost, however often and wherever one looks', () => {
  const world = fc.record({
    steps: fc.integer({ min: 0, max: 8 }),
    checkpoints: fc.array(fc.constantFrom<Checkpoint['state']>('pending', 'stored', 'verified', 'failed'), { maxLength: 8 }),
  })
  fc.assert(
    fc.property(fc.array(world, { minLength: 1, maxLength: 6 }), (looks) => {
      let told: Told = NOTHING_TOLD
      const all: string[] = []
      let steps = 0
      for (const look of looks) {
        steps = Math.max(steps, look.steps)
        const now = seen({
          steps: Array.from({ length: steps }, (_, index) => step(index + 1)),
          checkpoints: look.checkpoints.map((state, index) => checkpoint(index, state)),
        })
        all.push(...words(told, now))
        told = momentsSince(told, now).told
      }
      const stepsTold = all.filter((word) => word.startsWith('step'))
      assert.equal(stepsTold.length, steps)
      const checkpointsTold = all.filter((word) => word.startsWith('checkpoint')).map((word) => word.slice(0, 13))
      assert.equal(new Set(checkpointsTold).size, checkpointsTold.length)
    }),
  )
})

test('a run is settled when it rests and all of its checkpoints do', () => {
  assert.equal(isSettled(seen()), false)
  assert.equal(isSettled(seen({ run: run({ state: 'succeeded' }), checkpoints: [checkpoint(1), checkpoint(2, 'stored')] })), false)
  assert.equal(isSettled(seen({ run: run({ state: 'succeeded' }), checkpoints: [checkpoint(1), checkpoint(2, 'failed')] })), true)
  assert.equal(isSettled(seen({ run: run({ state: 'paused' }) })), true)
})
