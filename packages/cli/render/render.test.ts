import assert from 'node:assert/strict'
import test from 'node:test'
import {
  AutovibeError,
  type Budget,
  type Checkpoint,
  type Event,
  type FileChange,
  type Machine,
  NO_PATCH_REASONS,
  type Operation,
  type Run,
  type Step,
} from '@autovibe/contract'
import fc from 'fast-check'
import pc from 'picocolors'
import type { Moment } from '../follow/moments.ts'
import { renderBudgets } from './budgets.ts'
import { renderClosing } from './closing.ts'
import { renderFile, renderLeftOut, renderStat, renderStatus } from './diff.ts'
import { renderError } from './error.ts'
import { renderEvent } from './event.ts'
import { renderMoment } from './moment.ts'
import { nearest } from './nearest.ts'
import { renderCheckpoints, renderMachines, renderOperation } from './resources.ts'
import { age, bytes, duration, plain, plainBlock, table } from './text.ts'

const paint = pc.createColors(false)
const HOSTILE = 'x\u001b]0;owned\u0007\u001b[2J\u009b31m\r\nrm -rf\u202e\u2028y\u0000'
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u202e]/

const run = {
  id: 'run_x',
  machine_name: 'calm-owl',
  state: 'succeeded',
  spent: '370000000',
  held: '0',
  limit: '2000000000',
  steps: 4,
  summary: 'Done.',
  started_at: '2026-01-01T00:00:00.000Z',
  ended_at: '2026-01-01T00:01:02.000Z',
  agent_reported_cost: null,
  prompt: HOSTILE,
} as unknown as Run
const step: Step = {
  index: 3,
  model: HOSTILE,
  message_id: null,
  tools: [{ name: HOSTILE, summary: HOSTILE, is_error: true, duration_ms: 5 }],
  text: HOSTILE,
  input_tokens: '1000',
  cache_read_tokens: '48000',
  cache_write_tokens: '0',
  output_tokens: '120',
  cost: '12000000',
  started_at: '2026-01-01T00:00:00.000Z',
  ended_at: '2026-01-01T00:00:01.000Z',
  outcome: 'finished',
}
const checkpoint = {
  id: 'ckp_x',
  machine_name: 'calm-owl',
  state: 'verified',
  state_reason: HOSTILE,
  trigger: 'demand',
  label: HOSTILE,
  files: 12,
  new_bytes: 2048,
  consistency: 'fuzzy',
  step: 3,
  spent: '5',
  created_at: '2026-01-01T00:00:00.000Z',
} as unknown as Checkpoint
const check = { command: HOSTILE, exit_code: 1, output: HOSTILE, duration_ms: 10 }

const MOMENTS: Moment[] = [
  { type: 'operation_step', operation_id: 'opr_x', kind: HOSTILE, name: HOSTILE, state: 'done', duration_ms: 5 },
  { type: 'operation_ended', operation_id: 'opr_x', kind: 'k', state: 'failed', error: { code: 'internal', message: HOSTILE, fix: null, step: null } },
  { type: 'step_finished', step, cost_before: '0', spent: '12000000', limit: '1000000000' },
  { type: 'step_interrupted', step: { ...step, outcome: 'interrupted' }, cost_before: '0', spent: '12000000', limit: '1000000000' },
  { type: 'cost_changed', index: 3, change: '-5', spent: '12000000', limit: '1000000000' },
  { type: 'notice', event: HOSTILE, code: HOSTILE, text: plain(HOSTILE) },
  { type: 'checkpoint', checkpoint },
  { type: 'checkpoint', checkpoint: { ...checkpoint, state: 'failed' } },
  { type: 'check_finished', check },
  { type: 'check_finished', check: { ...check, exit_code: null } },
  { type: 'run_state', state: 'failed', reason: HOSTILE },
  { type: 'hub_lost', reason: HOSTILE },
  { type: 'hub_back' },
]

test('nothing that a machine says reaches the terminal as a control character', () => {
  const file = {
    path: HOSTILE,
    status: 'changed',
    renamed_from: null,
    before: null,
    after: { type: 'file', size: 1 },
    patch: `+${HOSTILE}`,
    no_patch: null,
  } as FileChange
  const files = [file, { ...file, renamed_from: HOSTILE }, ...NO_PATCH_REASONS.map((no_patch) => ({ ...file, renamed_from: HOSTILE, patch: null, no_patch }))]
  const event = {
    type: HOSTILE,
    at: 'now',
    run_id: null,
    checkpoint_id: null,
    operation_id: null,
    machine_id: null,
    project_id: null,
    data: { [HOSTILE]: HOSTILE },
  } as unknown as Event
  const machine = { name: 'm', state: 'failed', state_reason: HOSTILE, created_at: '2026-01-01T00:00:00.000Z' } as Machine
  const lines = [
    ...MOMENTS.flatMap((moment) => renderMoment(moment, paint)),
    ...renderClosing({ run: { ...run, summary: HOSTILE }, interrupted: 0, totals: null }, paint),
    ...files.flatMap((each) => [...renderFile(each, paint), renderStat(each, paint), renderStatus(each).replaceAll('\t', ' ')]),
    renderEvent(event, paint),
    ...renderMachines(
      [
        { machine, run, project: HOSTILE },
        { machine, run: null, project: 'p' },
      ],
      0,
      paint,
    ),
    ...renderCheckpoints([checkpoint], 0, paint),
    ...renderError(new AutovibeError('internal', HOSTILE, { fix: HOSTILE, errors: [{ path: HOSTILE, message: HOSTILE }] }), paint),
  ]
  for (const line of lines.flatMap((each) => each.split('\n'))) assert.doesNotMatch(line, CONTROL)
})

test('plain text has no control characters and keeps every letter', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(plain(text), CONTROL)
      assert.doesNotMatch(plainBlock(text).replaceAll('\n', '').replaceAll('\t', ''), CONTROL)
    }),
  )
  assert.equal(plain('  ünï 文 🙂 a\tb\nc '), 'ünï 文 🙂 a b c')
  assert.equal(plainBlock('a\tb\r\nc\rd'), 'a\tb\nc\ufffdd')
})

test('a step shows its tokens with the cached part, its cost, the sum and the limit', () => {
  const told = { type: 'step_finished', step: { ...step, model: 'm' }, cost_before: '0', spent: '370000000', limit: '2000000000' } as const
  const [line] = renderMoment(told, paint)
  assert.equal(line, 'step 3  m  49,000 in, 48,000 cached, 120 out  $0.0120 ($0.3700 of $2.00)')
  const [again] = renderMoment({ ...told, cost_before: '2000000' }, paint)
  assert.equal(again, 'step 3  m  49,000 in, 48,000 cached, 120 out  $0.0100 besides the $0.002 told before ($0.3700 of $2.00)')
})

test('an interrupted step says so, with its cost, and without figures that nobody has', () => {
  const cut: Step = { ...step, outcome: 'interrupted', model: 'm', text: '', tools: [] }
  const render = (change: Partial<Step>) =>
    renderMoment({ type: 'step_interrupted', step: { ...cut, ...change }, cost_before: '0', spent: '370000000', limit: '2000000000' }, paint)
  assert.deepEqual(render({}), ['step 3  interrupted  m  49,000 in, 48,000 cached, 120 out  $0.0120 ($0.3700 of $2.00)'])
  const none = { model: '', input_tokens: '0', cache_read_tokens: '0', output_tokens: '0' }
  assert.deepEqual(render({ ...none, cost: '0' }), ['step 3  interrupted before the model answered  $0.00 ($0.3700 of $2.00)'])
  assert.deepEqual(render(none), ['step 3  interrupted  $0.0120 ($0.3700 of $2.00)'])
})

test('a pause for money is told without the sentence that the closing words have', () => {
  const reason = 'This needs up to $0.0383, but only $0.0060 is left of the budget of the run run_x.'
  assert.deepEqual(renderMoment({ type: 'run_state', state: 'paused', reason }, paint), ['‖ run paused: out of budget'])
  assert.deepEqual(renderMoment({ type: 'notice', event: 'gateway.call_refused', code: 'budget.insufficient', text: reason }, paint), [])
  assert.deepEqual(renderMoment({ type: 'notice', event: 'gateway.call_refused', code: 'provider.key_refused', text: 'no' }, paint), ['! no'])
})

test('a checkpoint that failed is never shown as safe', () => {
  for (const state of ['failed', 'corrupt', 'expired'] as const) {
    const [line = ''] = renderMoment({ type: 'checkpoint', checkpoint: { ...checkpoint, state } }, paint)
    assert.match(line, /✗/)
    assert.doesNotMatch(line, /verified/)
  }
})

test('the closing words say state, time, steps, money left and that the checkout is untouched', () => {
  const lines = renderClosing({ run, interrupted: 0, totals: { files: 2, added_lines: 14, removed_lines: 3 } }, paint)
  assert.deepEqual(lines.slice(-2), [
    'calm-owl: succeeded in 1 min 2 s, 4 steps, $0.37 of $2.00 spent, $1.63 left.',
    '+14 −3 in 2 files. Your checkout is untouched.',
  ])
})

test('a changed file is one line as git writes it, whatever its name', () => {
  const entry = { type: 'file', size: 1 }
  const file = { path: 'a b', status: 'changed', renamed_from: null, similarity: null, before: entry, after: entry } as FileChange
  const link = { type: 'symlink', size: 1 } as FileChange['after']
  const lines = [
    { ...file, status: 'added' as const, before: null },
    { ...file, status: 'removed' as const, after: null, path: 'tab\t"q"' },
    file,
    { ...file, after: link, path: 'é\n' },
    { ...file, status: 'renamed' as const, renamed_from: 'old\\xff', similarity: 7, path: 'back\\\\slash' },
  ].map(renderStatus)
  assert.deepEqual(lines, ['A\ta b', 'D\t"tab\\t\\"q\\""', 'M\ta b', 'T\t"\\303\\251\\n"', 'R007\t"old\\377"\t"back\\\\slash"'])
})

test('a file without a patch is named with the reason, and what git does not show is said at the end', () => {
  const before = { type: 'file', size: 2048 }
  const file = {
    path: 'logo.png',
    status: 'changed',
    renamed_from: null,
    before,
    after: { ...before, size: 4096 },
    patch: null,
    no_patch: 'binary',
  } as FileChange
  assert.deepEqual(renderFile(file, paint), ['# changed logo.png: binary, 2.0 KiB -> 4.0 KiB'])
  assert.deepEqual(renderFile({ ...file, patch: '', no_patch: null }, paint), ['# changed logo.png: only its permissions'])
  const totals = { files: 1, ignored: 2, added_lines: 0, removed_lines: 0, renames_limited: true }
  assert.equal(renderLeftOut(totals, paint).length, 2)
  assert.deepEqual(renderLeftOut({ ...totals, ignored: 0, renames_limited: false }, paint), [])
})

test('empty lists explain themselves', () => {
  for (const lines of [renderMachines([], 0, paint), renderCheckpoints([], 0, paint), renderBudgets([], paint)]) assert.match(lines.join('\n'), /autovibe /)
})

test('a budget that nobody limited has no limit to show', () => {
  const budget = {
    id: 'bud_x',
    scope: 'organisation',
    scope_id: 'organisation',
    resource: 'money',
    period: 'total',
    policy: 'park',
    set_aside: '0',
    limit: (2n ** 62n).toString(),
    settled: '1000000000',
    reserved: '0',
    available: '5',
    closed_at: null,
  } as unknown as Budget
  assert.match(renderBudgets([budget], paint)[1] ?? '', /none +\$1\.00 +\$0\.00 +-$/)
})

test('an operation shows every step with attempts, and its error with the fix', () => {
  const operation = {
    id: 'opr_x',
    kind: 'k',
    state: 'failed',
    cancel_requested: false,
    machine_id: null,
    run_id: null,
    created_at: '2026-01-01T00:00:00.000Z',
    ended_at: '2026-01-01T00:00:00.000Z',
    steps: [{ name: 'create', kind: 'ensure', state: 'undone', attempts: 3, started_at: null, ended_at: null }],
    error: { code: 'substrate.failed', message: 'no', fix: 'do this', step: 'create' },
  } as unknown as Operation
  const text = renderOperation(operation, 0, paint).join('\n')
  for (const part of [/create ensure, undone, 3 attempts/, /no \(substrate\.failed\)/, /fix +do this/]) assert.match(text, part)
  const waiting = { ...operation, state: 'running', error: null, waits_for: 'VM 1 is locked.' } as unknown as Operation
  assert.match(renderOperation(waiting, 0, paint).join('\n'), /waits +VM 1 is locked\./)
})

test('numbers are written for people', () => {
  assert.deepEqual([duration(12), duration(1234), duration(83_000), duration(7_260_000)], ['12 ms', '1.2 s', '1 min 23 s', '2 h 1 min'])
  assert.deepEqual([bytes(0), bytes(1023), bytes(1536), bytes(3 * 1024 ** 3)], ['0 B', '1023 B', '1.5 KiB', '3.0 GiB'])
  const now = Date.parse('2026-01-02T00:00:00.000Z')
  assert.deepEqual(
    ['2026-01-01T23:59:58.000Z', '2026-01-01T23:00:00.000Z', '2025-12-30T00:00:00.000Z', '2026-01-03T00:00:00.000Z'].map((at) => age(at, now)),
    ['2 s', '1 h', '3 d', '0 s'],
  )
})

test('columns line up for letters beyond ASCII too', () => {
  assert.deepEqual(
    table(
      ['A', 'B'],
      [
        ['ü', 'x'],
        ['文字', 'y'],
      ],
    ),
    ['A   B', 'ü   x', '文字  y'],
  )
})

test('the nearest word is found for what people mistype, and none for what they cannot have meant', () => {
  const known = ['run', 'ps', 'logs', 'checkpoint', 'claude-code']
  assert.deepEqual(
    ['rnu', 'runn', 'chekpoint', 'claude', 'log'].map((word) => nearest(word, known)),
    ['run', 'run', 'checkpoint', 'claude-code', 'logs'],
  )
  assert.equal(nearest('xyzzy', known), undefined)
})
