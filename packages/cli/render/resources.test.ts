import assert from 'node:assert/strict'
import test from 'node:test'
import type { Machine, Operation, Run } from '@autovibe/contract'
import pc from 'picocolors'
import { renderMachines, renderOperations } from './resources.ts'

const paint = pc.createColors(false)
const created_at = '2026-01-01T00:00:00.000Z'
const run = { state: 'failed', spent: '0', limit: '2000000000', held: '0', steps: 0, prompt: 'mend it' } as unknown as Run

test('a machine that failed says why instead of what it was asked for', () => {
  const machine = { name: 'm', state: 'failed', state_reason: 'It ended by itself.', created_at } as Machine
  assert.match(renderMachines([{ machine, run, project: 'p' }], 0, paint)[1] ?? '', /It ended by itself\.$/)
  assert.match(renderMachines([{ machine: { ...machine, state: 'ready' }, run, project: 'p' }], 0, paint)[1] ?? '', /mend it$/)
})

test('an operation names its machine as ps does, and by its id when nobody knows the name', () => {
  const operation = { id: 'opr_x', kind: 'k', state: 'done', machine_id: 'mch_x', steps: [], created_at, ended_at: created_at } as unknown as Operation
  assert.match(renderOperations([operation], new Map([['mch_x', 'calm-owl']]), 0, paint)[1] ?? '', / calm-owl /)
  assert.match(renderOperations([operation], new Map(), 0, paint)[1] ?? '', / mch_x /)
})
