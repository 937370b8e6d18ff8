/** A run of the builtin agent from order to report, as a process of its own, against the door, a scripted model, real shells and real git. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { StepFinished } from '@autovibe/contract'
import { OTHER_RUN_ID } from './test/door-server.ts'
import { TestMachine } from './test/machine.ts'
import { EDIT_AND_TEST } from './test/scripts.ts'

test('a machine brings in its source, keeps its untouched form, does the run and reports its end with the check', async (t) => {
  const machine = await TestMachine.start(t, EDIT_AND_TEST)
  const { door } = machine
  const { commit } = machine.offerSource({ 'a.txt': 'one\n' }, 'feature/x')
  let contentAtStart: string | undefined
  door.onCheckpoint = (wish) => {
    if (wish.trigger === 'start') contentAtStart = machine.read('a.txt')
  }
  door.wish({ control: 'go', run: machine.run({ check: 'grep two a.txt' }) })
  await door.until('the final report', () => door.finalReport !== undefined)

  assert.deepEqual(door.violations, [])
  assert.equal(door.reports[0]?.state, 'running')
  assert.deepEqual(door.finalReport?.state, 'succeeded')
  assert.equal(door.finalReport?.summary, 'It says two now.')
  assert.equal(door.finalReport?.check_result?.exit_code, 0)
  assert.equal(door.finalReport?.check_result?.output, 'two\n')
  assert.equal(machine.read('a.txt'), 'two\n')
  assert.equal(contentAtStart, 'one\n')
  assert.deepEqual(
    door.checkpoints.map(({ trigger, step }) => `${trigger}@${step}`),
    ['start@0', 'files-changed@2', 'exit@3'],
  )
  const git = (...args: string[]): string => execFileSync('git', ['-C', machine.project, ...args], { encoding: 'utf8' }).trim()
  assert.equal(git('rev-parse', 'HEAD'), commit)
  assert.equal(git('branch', '--show-current'), 'feature/x')
  assert.equal(git('remote'), '')
  assert.match(git('config', '--local', 'user.email'), /^mch_.*@autovibe\.invalid$/)

  const steps = door.eventsOf('step.finished').map(({ data }) => StepFinished.parse(data))
  assert.deepEqual(
    steps.map(({ index, tools }) => [index, tools.map(({ name, summary, is_error: isError }) => `${name} ${summary} ${isError}`)]),
    [
      [1, ['list_files . false', 'read_file a.txt false']],
      [2, ['edit_file a.txt false', 'shell cat a.txt false']],
      [3, []],
    ],
  )
  const seqs = [...door.events.values()].map(({ seq }) => seq)
  assert.deepEqual(
    seqs,
    seqs.map((_, i) => i + 1),
  )
  assert.equal(door.eventsOf('run.check_finished').length, 1)
})

test('a failing check makes the run fail and says so, with what it printed', async (t) => {
  const machine = await TestMachine.start(t, 'conversations: [{ replies: [{ text: done }] }]')
  machine.door.wish({ control: 'go', run: machine.run({ check: 'echo broken; exit 3' }) })
  await machine.door.until('the final report', () => machine.door.finalReport !== undefined)
  const report = machine.door.finalReport
  assert.deepEqual([report?.state, report?.reason, report?.check_result?.exit_code, report?.check_result?.output], ['failed', 'check failed', 3, 'broken\n'])
})

test("a provider's refusal of the key fails the run with the provider's own words", async (t) => {
  const machine = await TestMachine.start(t, 'conversations: [{ replies: [{ text: never said }] }]')
  machine.door.onModelCall = () => ({ status: 401, body: { type: 'error', error: { type: 'authentication_error', message: 'invalid x-api-key' } } })
  machine.door.wish({ control: 'go', run: machine.run() })
  await machine.door.until('the final report', () => machine.door.finalReport !== undefined)
  assert.equal(machine.door.finalReport?.state, 'failed')
  assert.match(machine.door.finalReport?.reason ?? '', /invalid x-api-key/)
})

const DOWN = {
  status: 503,
  headers: { 'retry-after': '0' },
  body: { type: 'error', error: { type: 'api_error', message: 'autovibe: anthropic is away since noon', autovibe: { code: 'provider.down' } } },
}

test('a provider that is down before the first answer fails the run after a few tries, with the reason', async (t) => {
  const machine = await TestMachine.start(t, 'conversations: [{ replies: [{ text: never said }] }]')
  machine.door.onModelCall = () => DOWN
  machine.door.wish({ control: 'go', run: machine.run() })
  await machine.door.until('the final report', () => machine.door.finalReport !== undefined)
  assert.deepEqual([machine.door.finalReport?.state, machine.door.modelCalls], ['failed', 3])
  assert.match(machine.door.finalReport?.reason ?? '', /anthropic is away since noon/)
})

test('a provider that is down in the middle of a run is waited for', async (t) => {
  const machine = await TestMachine.start(t, EDIT_AND_TEST)
  const { door } = machine
  machine.write('a.txt', 'one\n')
  door.onModelCall = () => (door.modelCalls > 1 && door.modelCalls < 8 ? DOWN : undefined)
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.equal(door.finalReport?.state, 'succeeded')
})

test('a fork continues the conversation with a new order and hears what has changed', async (t) => {
  const machine = await TestMachine.start(
    t,
    `
conversations:
  - match: And then that
    replies: [{ text: That too. }]
  - match: Do it
    replies: [{ text: Done. }]
`,
  )
  const { door } = machine
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the first run', () => door.finalReport !== undefined)
  door.reports.length = 0
  door.wish({ control: 'go', run: machine.run({ id: OTHER_RUN_ID, prompt: 'And then that', resume: true, notice: 'You are a fork.' }) })
  await door.until('the second run', () => door.finalReport !== undefined)
  assert.equal(door.finalReport?.summary, 'That too.')
  const body = JSON.stringify(machine.model.calls().at(-1)?.body)
  assert.match(body, /Do it.*Done\..*You are a fork\..*And then that/)
  assert.equal(readdirSync(join(machine.home, '.autovibe', 'conversation')).length, 1)
})

test('the token and the way to the Hub are not in the environment of a command', async (t) => {
  const machine = await TestMachine.start(
    t,
    `
conversations: [{ match: Do it, replies: [{ tools: [{ name: shell, input: { command: "env > env.txt" } }] }, { text: ok }] }]
`,
  )
  machine.door.wish({ control: 'go', run: machine.run() })
  await machine.door.until('the final report', () => machine.door.finalReport !== undefined)
  assert.doesNotMatch(readFileSync(join(machine.project, 'env.txt'), 'utf8'), /AUTOVIBE_(TOKEN|SOCKET)|machine-token/)
})

test('an answer that is cut off by its length is continued, and its half tool call is not carried out', async (t) => {
  const machine = await TestMachine.start(
    t,
    `
conversations:
  - match: Do it
    replies:
      - text: I write.
        tools: [{ name: write_file, input: { path: half, content: half } }]
        stop_reason: max_tokens
      - tools: [{ name: write_file, input: { path: whole, content: whole } }]
      - text: Done.
`,
  )
  machine.door.wish({ control: 'go', run: machine.run() })
  await machine.door.until('the final report', () => machine.door.finalReport !== undefined)
  assert.equal(machine.door.finalReport?.state, 'succeeded')
  assert.deepEqual([existsSync(join(machine.project, 'half')), machine.read('whole')], [false, 'whole'])
})
