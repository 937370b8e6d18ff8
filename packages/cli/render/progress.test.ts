import assert from 'node:assert/strict'
import test from 'node:test'
import pc from 'picocolors'
import type { Moment } from '../follow/moments.ts'
import { Progress } from './progress.ts'

const paint = pc.createColors(false)
const step = (name: string, state: 'done' | 'undone' = 'done', operation_id = 'opr_x'): Moment => ({
  type: 'operation_step',
  operation_id,
  kind: 'spawn-machine',
  name,
  state,
  duration_ms: name === 'reserve' ? null : 20,
})
const ended = (state: 'done' | 'failed'): Moment => ({
  type: 'operation_ended',
  operation_id: 'opr_x',
  kind: 'spawn-machine',
  state,
  error: state === 'done' ? null : { code: 'internal', message: 'no', fix: null, step: null },
})
const told = (moments: readonly Moment[]): string[] => {
  const progress = new Progress(paint)
  return moments.flatMap((moment) => progress.tell(moment))
}

test('the steps of an operation that goes well are one line, whatever comes in between', () => {
  const lines = told([
    step('reserve'),
    { type: 'run_state', state: 'queued', reason: null },
    step('place'),
    { type: 'hub_back' },
    step('create'),
    ended('done'),
    { type: 'run_state', state: 'running', reason: null },
  ])
  assert.deepEqual(lines, ['✓ The Hub is back.', '✓ spawn-machine 40 ms: reserve, place, create', 'the agent is at work'])
})

test('that the run works is told after the line, also when it is seen before the last step', () => {
  const running: Moment = { type: 'run_state', state: 'running', reason: null }
  assert.deepEqual(told([step('reserve'), running, step('place'), ended('done')]), ['✓ spawn-machine 20 ms: reserve, place', 'the agent is at work'])
  assert.deepEqual(told([step('reserve'), running, { type: 'hub_back' }, step('place'), ended('done')]), [
    '✓ spawn-machine 0 ms: reserve',
    'the agent is at work',
    '✓ The Hub is back.',
  ])
})

test('an operation that goes back is told step by step, after what it had done', () => {
  assert.deepEqual(told([step('reserve'), step('place'), step('place', 'undone'), step('reserve', 'undone'), ended('failed')]), [
    '✓ spawn-machine 20 ms: reserve, place',
    '↶ spawn-machine: place undone 20 ms',
    '↶ spawn-machine: reserve undone',
    '✗ spawn-machine failed: no',
  ])
})

test('each operation has a line of its own, without control characters', () => {
  const lines = told([step('\u001b[2Jplace'), step('place', 'done', 'opr_y'), ended('done')])
  assert.deepEqual(lines, ['✓ spawn-machine 20 ms: [2Jplace', '✓ spawn-machine 20 ms: place'])
})
