/** Each state of a machine has its own way to a verified checkpoint. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MACHINE_STATES } from '@autovibe/contract'
import { noCheckpoint } from './no-checkpoint.ts'

test('a checkpoint is asked of a machine whose agent runs, and one that does not run is started first', () => {
  const advice = (wasTried: boolean) =>
    Object.fromEntries(MACHINE_STATES.map((state) => [state, noCheckpoint({ name: 'm', state }, wasTried).fix?.slice(0, 22)]))
  const create = 'autovibe checkpoint cr'
  const start = 'autovibe machine start'
  const all = {
    requested: create,
    provisioning: create,
    booting: create,
    ready: create,
    running: create,
    paused: create,
    checkpointing: create,
    stopping: create,
    stopped: start,
    failed: start,
    destroyed: 'autovibe ps lists the ',
  }
  assert.deepEqual(advice(true), all)
  assert.deepEqual(advice(false), { ...all, ready: 'autovibe run "PROMPT" ' })
})
