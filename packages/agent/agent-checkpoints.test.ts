/** When the agent asks for a checkpoint, and what it does when it gets none. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { TestMachine } from './test/machine.ts'

test('before a risky command there is a checkpoint, even when an earlier tool of the same step made the change', async (t) => {
  const machine = await TestMachine.start(
    t,
    `
conversations:
  - match: Do it
    replies:
      - tools:
          - { name: write_file, input: { path: precious, content: mine } }
          - { name: shell, input: { command: rm -rf precious } }
      - text: Gone.
`,
  )
  const seen: string[] = []
  machine.door.onCheckpoint = (wish) => {
    seen.push(`${wish.trigger} ${existsSync(join(machine.project, 'precious'))}`)
  }
  machine.door.wish({ control: 'go', run: machine.run() })
  await machine.door.until('the final report', () => machine.door.finalReport !== undefined)
  assert.deepEqual(seen, ['risky-command true', 'files-changed false', 'exit false'])
})

test('a run that takes all its steps ends as failed, and its last changes are in a checkpoint', async (t) => {
  const machine = await TestMachine.start(
    t,
    `
conversations: [{ match: Do it, replies: [{ tools: [{ name: write_file, input: { path: a, content: a } }] }, { tools: [{ name: write_file, input: { path: b, content: b } }] }] }]
`,
  )
  machine.door.wish({ control: 'go', run: machine.run({ max_steps: 1 }) })
  await machine.door.until('the final report', () => machine.door.finalReport !== undefined)
  assert.equal(machine.door.finalReport?.state, 'failed')
  assert.match(machine.door.finalReport?.reason ?? '', /after 1 steps/)
  assert.equal(existsSync(join(machine.project, 'b')), false)
  assert.deepEqual(
    machine.door.checkpoints.map(({ trigger }) => trigger),
    ['files-changed'],
  )
})

test('a Hub that is busy is asked again for a checkpoint, and one that stays busy is gone on without', async (t) => {
  const machine = await TestMachine.start(
    t,
    `
conversations:
  - match: Do it
    replies:
      - tools: [{ name: write_file, input: { path: a, content: a } }]
      - text: Done.
`,
  )
  const { door } = machine
  let tries = 0
  door.onCheckpoint = () => {
    tries++
    if (tries !== 7) throw new AutovibeError('conflict.busy', 'Another operation is under way.')
  }
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the final report', () => door.finalReport !== undefined, 40_000)
  // Five tries after the first step; the change is still not kept, so the second step asks again.
  assert.deepEqual(
    door.checkpoints.map(({ trigger }) => trigger),
    ['model-response'],
  )
  assert.equal(tries, 7)
})
