import assert from 'node:assert/strict'
import test from 'node:test'
import { AutovibeError, type FieldError } from '@autovibe/contract'
import pc from 'picocolors'
import { renderError } from './error.ts'

const paint = pc.createColors(false)
const linesOf = (errors: FieldError[]) => renderError(new AutovibeError('request.invalid', 'a must be b.', { fix: 'autovibe ps', errors }), paint)

test('one field that is wrong is told once, several one after the other', () => {
  assert.deepEqual(linesOf([{ path: 'a', message: 'must be b' }]), ['✗ a must be b. (request.invalid)', '  Fix: autovibe ps'])
  const both = [
    { path: 'a', message: 'must be b' },
    { path: 'c', message: 'must be d' },
  ]
  assert.deepEqual(linesOf(both).slice(1), ['  a: must be b', '  c: must be d', '  Fix: autovibe ps'])
})
