import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CheckpointId, MachineId } from '@autovibe/contract'
import fc from 'fast-check'
import { type LinePoint, leftSpans, type Span } from './left-spans.ts'

const M = 'mch_m' as MachineId
const OTHER = 'mch_o' as MachineId
const id = (name: string) => `ckp_${name}` as CheckpointId
const at = (name: string, frozenAtMs: number, machineId = M): LinePoint => ({ id: id(name), machineId, frozenAtMs })
const made = { machineId: M, madeAtMs: 100, madeFrom: null, rollbacks: [] }
/** A target's line of checkpoints that another machine has taken, so that only their names count. */
const kept = (...names: string[]) => names.map((name) => at(name, 0, OTHER))

test('what a machine has done since the checkpoint is one span, whatever it kept in between', () => {
  const line = [at('c', 400), at('b', 300), at('a', 200)]
  assert.deepEqual(leftSpans({ ...made, line }, kept('a')), [{ fromMs: 200, untilMs: null }])
  assert.deepEqual(leftSpans({ ...made, line }, kept('c', 'b', 'a')), [{ fromMs: 400, untilMs: null }])
  assert.deepEqual(leftSpans({ ...made, line: [] }, kept('x')), [{ fromMs: 100, untilMs: null }])
})

test('what an earlier rollback has left is not left again', () => {
  // a, b, then at 400 back to a, then c.
  const line = [at('c', 500), at('a', 200)]
  const facts = { ...made, line, rollbacks: [{ to: id('a'), atMs: 400 }] }
  assert.deepEqual(leftSpans(facts, kept('a')), [{ fromMs: 400, untilMs: null }])
  // Before a there was nothing of a checkpoint: two spans with the left one between them.
  assert.deepEqual(leftSpans(facts, kept('none')), [
    { fromMs: 400, untilMs: null },
    { fromMs: 100, untilMs: 200 },
  ])
  // Back to what the rollback had saved: what came after the rollback is left, and no more.
  assert.deepEqual(leftSpans({ ...facts, line: [at('a', 200)] }, kept('saved', 'b', 'a')), [{ fromMs: 400, untilMs: null }])
})

test('of a fork only what it did itself is left, also when it goes back to a time before it was made', () => {
  const line = [at('f', 700), at('b', 300, OTHER), at('a', 200, OTHER)]
  const fork = { ...made, madeAtMs: 600, madeFrom: id('b'), line }
  for (const names of [['b', 'a'], ['a']]) assert.deepEqual(leftSpans(fork, kept(...names)), [{ fromMs: 600, untilMs: null }])
})

test('a time whose beginning cannot be told is as long as it can be', () => {
  assert.deepEqual(leftSpans({ ...made, line: [at('b', 300), at('a', 900)] }, kept('a')), [{ fromMs: 100, untilMs: null }])
})

/** A plain model: every state is the list of what was done to come to it. */
interface Machine {
  readonly id: MachineId
  readonly madeAtMs: number
  readonly madeFrom: CheckpointId | null
  readonly rollbacks: { to: CheckpointId; atMs: number }[]
  readonly done: number[]
  head: CheckpointId | null
  state: readonly string[]
}
interface Kept extends LinePoint {
  readonly parent: CheckpointId | null
  readonly state: readonly string[]
}
type Deed = readonly ['act' | 'keep' | 'roll-back' | 'fail-to' | 'fork', number, number]

const deeds: fc.Arbitrary<Deed[]> = fc.array(
  fc.tuple(
    fc.constantFrom('act' as const, 'act' as const, 'keep' as const, 'keep' as const, 'roll-back' as const, 'fail-to' as const, 'fork' as const),
    fc.nat(),
    fc.nat(),
  ),
  { maxLength: 60 },
)

test('after any history, exactly what the machine did to get from the checkpoint to where it stands lies in the spans', () => {
  fc.assert(
    fc.property(deeds, fc.nat(), fc.nat(), (history, which, where) => {
      const { machines, checkpoints } = play(history)
      const machine = machines[which % machines.length] as Machine
      const target = [...checkpoints.values()][where % checkpoints.size]
      if (!target) return
      const spans = leftSpans({ ...machine, machineId: machine.id, line: lineOf(checkpoints, machine.head) }, lineOf(checkpoints, target.id))
      const left = machine.state.filter((deed) => deed.startsWith(`${machine.id} `) && !target.state.includes(deed))
      assert.deepEqual(
        machine.done.filter((ms) => isIn(spans, ms)).map((ms) => `${machine.id} ${ms}`),
        left,
      )
    }),
    { numRuns: 2000 },
  )
})

const isIn = (spans: readonly Span[], ms: number) => spans.some(({ fromMs, untilMs }) => fromMs <= ms && (untilMs === null || ms <= untilMs))

function lineOf(checkpoints: ReadonlyMap<CheckpointId, Kept>, from: CheckpointId | null): LinePoint[] {
  const line: LinePoint[] = []
  for (let next = from === null ? undefined : checkpoints.get(from); next; next = next.parent === null ? undefined : checkpoints.get(next.parent))
    line.push(next)
  return line
}

function play(history: readonly Deed[]) {
  const machines: Machine[] = []
  const checkpoints = new Map<CheckpointId, Kept>()
  let nowMs = 0
  const make = (madeFrom: CheckpointId | null, state: readonly string[]) =>
    machines.push({ id: `mch_${machines.length}` as MachineId, madeAtMs: ++nowMs, madeFrom, rollbacks: [], done: [], head: madeFrom, state })
  const keep = (machine: Machine): CheckpointId => {
    const name = id(String(checkpoints.size))
    checkpoints.set(name, { id: name, machineId: machine.id, frozenAtMs: ++nowMs, parent: machine.head, state: machine.state })
    return name
  }
  make(null, [])
  for (const [deed, which, where] of history) {
    nowMs++
    const machine = machines[which % machines.length] as Machine
    const target = [...checkpoints.values()][where % (checkpoints.size || 1)]
    if (deed === 'act') {
      machine.done.push(nowMs)
      machine.state = [...machine.state, `${machine.id} ${nowMs}`]
    } else if (deed === 'keep') machine.head = keep(machine)
    else if (!target) continue
    else if (deed === 'fork') make(target.id, target.state)
    else {
      // What it leaves is saved first, and stays when the rollback then fails.
      keep(machine)
      if (deed === 'fail-to') continue
      machine.rollbacks.push({ to: target.id, atMs: ++nowMs })
      machine.head = target.id
      machine.state = target.state
    }
  }
  return { machines, checkpoints }
}
