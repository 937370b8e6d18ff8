import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventBatch, type MachineEvent } from '@autovibe/contract'
import fc from 'fast-check'
import { RUN_ID } from '../test/door-server.ts'
import { admit, EventQueue, type MachineEventType, QUEUE_LIMITS, type WaitingEvent } from './event-queue.ts'

const event = (type: MachineEventType, n: number): WaitingEvent => ({ type, run_id: RUN_ID, at: '2026-01-01T00:00:00.000Z', data: { n } })
const types: MachineEventType[] = ['run.message', 'step.started', 'step.tool_started', 'step.tool_finished', 'step.finished', 'run.check_finished']

test('a full queue loses the oldest message text first and never a finished step', () => {
  const queue: WaitingEvent[] = []
  for (const [i, type] of (['step.finished', 'run.message', 'step.tool_started', 'run.message', 'step.finished'] as const).entries())
    admit(queue, event(type, i), 3)
  assert.deepEqual(
    queue.map(({ data }) => data['n']),
    [0, 2, 4],
  )
})

test('a queue holds its limit or only what must not be lost, in the order of coming', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...types), { maxLength: 60 }), fc.integer({ min: 1, max: 10 }), (coming, most) => {
      const queue: WaitingEvent[] = []
      coming.forEach((type, i) => {
        admit(queue, event(type, i), most)
      })
      const kept = queue.filter(({ type }) => type === 'step.finished' || type === 'run.check_finished')
      assert.equal(kept.length, coming.filter((type) => type === 'step.finished' || type === 'run.check_finished').length)
      assert.ok(queue.length <= Math.max(most, kept.length))
      const order = queue.map(({ data }) => Number(data['n']))
      assert.deepEqual(
        order,
        [...order].sort((a, b) => a - b),
      )
    }),
  )
})

test('what is pushed arrives in batches within the limit, numbered without a gap', async () => {
  const batches: MachineEvent[][] = []
  const queue = new EventQueue({
    events: async (events) => {
      EventBatch.parse({ boot_id: 'boot-for-tests', events })
      batches.push(events)
      return events.at(-1)?.seq ?? 0
    },
  })
  for (let i = 0; i < 120; i++) queue.push('run.message', RUN_ID, { n: i })
  await queue.drained()
  assert.ok(batches.every((batch) => batch.length <= QUEUE_LIMITS.batch))
  assert.deepEqual(
    batches.flat().map(({ seq, data }) => [seq, data['n']]),
    Array.from({ length: 120 }, (_, i) => [i + 1, i]),
  )
})
