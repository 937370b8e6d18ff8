/** When the agent asks for a checkpoint, and what it does when it gets none. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { AutovibeError, DEFAULT_TRIGGERS, type TriggerSettings } from '@autovibe/contract'
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

const QUICK = `
conversations:
  - match: Do it
    replies:
      - tools: [{ name: write_file, input: { path: a, content: a } }]
      - tools: [{ name: write_file, input: { path: b, content: b } }]
      - tools:
          - { name: write_file, input: { path: c, content: c } }
          - { name: shell, input: { command: ./deploy } }
      - tools: [{ name: write_file, input: { path: d, content: d } }]
      - text: Done.
`
const FILES = ['a', 'b', 'c', 'd']

/** Each trigger with the files that there were, until the run has ended. */
async function checkpointsOf(machine: TestMachine, triggers: TriggerSettings, onFirst: () => Promise<void> = async () => undefined) {
  const { door } = machine
  const seen: string[] = []
  door.onCheckpoint = async ({ trigger }) => {
    seen.push(`${trigger} ${FILES.filter((path) => existsSync(join(machine.project, path))).join('')}`)
    if (seen.length === 1) await onFirst()
  }
  door.wish({ control: 'go', run: machine.run({ triggers }) })
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.equal(door.finalReport?.state, 'succeeded')
  return seen
}

test('steps that change files quickly under a floor make fewer checkpoints, and the last one has everything', async (t) => {
  const settings = { ...DEFAULT_TRIGGERS, every_minutes: 0 }
  const each = ['files-changed a', 'files-changed ab', 'files-changed abc', 'files-changed abcd']
  assert.deepEqual(await checkpointsOf(await TestMachine.start(t, QUICK), settings), [...each, 'exit abcd'])
  assert.deepEqual(await checkpointsOf(await TestMachine.start(t, QUICK), { ...settings, at_end: false, floor_seconds: 3600 }), [
    'files-changed a',
    'exit abcd',
  ])
})

test('a command that the project calls risky is waited for by no floor while changes are not kept', async (t) => {
  const settings = { ...DEFAULT_TRIGGERS, every_minutes: 0, floor_seconds: 3600, risky_patterns: ['deploy *', 'deploy'] }
  assert.deepEqual(await checkpointsOf(await TestMachine.start(t, QUICK), settings), ['files-changed a', 'risky-command abc', 'exit abcd'])
})

test('what the project sets in the middle of a run holds from the next quiet point on', async (t) => {
  const machine = await TestMachine.start(t, QUICK)
  const { door } = machine
  const settings = { ...DEFAULT_TRIGGERS, every_minutes: 0 }
  const seen = await checkpointsOf(machine, settings, async () => {
    door.wish({ run: machine.run({ triggers: { ...settings, after_response: 'never', before_risky: false } }) })
    await door.until('the machine has heard of it', () => door.heardRevision === door.instructions.revision)
  })
  assert.deepEqual(seen, ['files-changed a', 'exit abcd'])
})
