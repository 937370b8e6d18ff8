/** The operations as they were released: a step that vanishes or moves would strand what an older Hub has begun. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { registry } from './registry.ts'

test('the steps of every operation are those of the golden list', (t) => {
  const steps = Object.fromEntries(
    [...registry.values()].map(({ kind, version, steps }) => [
      `${kind} ${version}`,
      steps.map((step) => `${step.kind} ${step.name}${step.undo ? ' (undo)' : ''}`),
    ]),
  )
  t.assert.fileSnapshot(steps, fileURLToPath(new URL('./steps.golden.json', import.meta.url)))
})

test('an operation is found under the name of its file', () => {
  for (const kind of registry.keys()) assert.match(kind, /^[a-z]+(-[a-z]+)+$/)
})
