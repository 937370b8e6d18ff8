import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { taskEnd, tasksOfLostCall } from './task-ends.ts'

test('a task that is OK or has warnings is done, and says how many', () => {
  assert.deepEqual(taskEnd('OK'), { kind: 'done', warnings: 0 })
  assert.deepEqual(taskEnd('WARNINGS: 3'), { kind: 'done', warnings: 3 })
})

test('a task without a last word has vanished', () => {
  for (const status of [undefined, '', 'unexpected status', 'unable to read tail (got 0 bytes)']) assert.equal(taskEnd(status).kind, 'vanished')
})

test('any other end is a failure with its words, and those of a lock say so', () => {
  assert.deepEqual(taskEnd("clone failed: can't lock file '/var/lock/x' - got timeout"), {
    kind: 'failed',
    words: "clone failed: can't lock file '/var/lock/x' - got timeout",
    locked: true,
  })
  assert.deepEqual(taskEnd('received interrupt'), { kind: 'failed', words: 'received interrupt', locked: false })
  for (const near of ['ok', 'OK.', 'WARNINGS: ', 'WARNINGS: x']) assert.equal(taskEnd(near).kind, 'failed')
})

test('of all tasks of a node only those are found that the lost call can have started', () => {
  const task = fc.record({
    upid: fc.uuid(),
    type: fc.constantFrom('qmclone', 'qmstart'),
    id: fc.constantFrom('100', '101', '1001', ''),
    starttime: fc.integer({ min: 0, max: 100 }),
  })
  fc.assert(
    fc.property(fc.array(task), fc.integer({ min: 0, max: 100 }), fc.integer({ min: 0, max: 10 }), (tasks, sinceS, skewS) => {
      const known = new Set(tasks.slice(0, 2).map(({ upid }) => upid))
      const found = tasksOfLostCall(tasks, { type: 'qmclone', vmid: 100, sinceS, skewS, known })
      assert.equal(
        found.length,
        tasks.filter((each) => each.type === 'qmclone' && each.id === '100' && each.starttime + skewS >= sinceS && !known.has(each.upid)).length,
      )
      for (const [index, each] of found.entries()) assert.ok(index === 0 || (found[index - 1]?.starttime ?? 0) <= each.starttime)
    }),
  )
})
