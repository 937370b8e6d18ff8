import assert from 'node:assert/strict'
import { test } from 'node:test'
import { goOnWith } from './go-on.ts'

const last = { agent: 'claude-code', provider: 'lab', model: 'big-1' } as const
const nothing = { agent: undefined, provider: undefined, model: undefined }

test('a run goes on with what the last one of its machine had, as far as nothing else is said', () => {
  assert.deepEqual(goOnWith(nothing, last), last)
  assert.deepEqual(goOnWith({ ...nothing, model: 'big-2' }, last), { ...last, model: 'big-2' })
  assert.deepEqual(goOnWith({ ...nothing, provider: 'lab', agent: 'claude-code' }, last), last)
})

test('the model of the last run is no model of another provider or agent', () => {
  assert.deepEqual(goOnWith({ ...nothing, provider: 'anthropic' }, last), { agent: 'claude-code', provider: 'anthropic', model: undefined })
  assert.deepEqual(goOnWith({ ...nothing, agent: 'builtin' }, last), { agent: 'builtin', provider: 'lab', model: undefined })
})

test('a machine without a run begins as a new one does', () => {
  assert.deepEqual(goOnWith(nothing, undefined), { agent: 'builtin', provider: 'anthropic', model: undefined })
})
