import assert from 'node:assert/strict'
import test from 'node:test'
import pc from 'picocolors'
import { renderMoment } from './moment.ts'

test('a failed check that said nothing has no empty line of output', () => {
  const check = { command: 'false', exit_code: 1, output: ' \n', duration_ms: 10 }
  assert.deepEqual(renderMoment({ type: 'check_finished', check }, pc.createColors(false)), ['✗ check false failed with exit code 1 10 ms'])
})
