/** The builtin agent as a process of its own, against the door, a scripted model, real shells and real git. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { AutovibeError, StepFinished } from '@autovibe/contract'
import { OTHER_RUN_ID } from './test/door-server.ts'
import { TestMachine } from './test/machine.ts'

const EDIT_AND_TEST = `
conversations:
  - match: Do it
    replies:
      - text: I look first.
        tools:
          - { name: list_files, input: {} }
          - { name: read_file, input: { path: a.txt } }
      - text: Now the change.
        tools:
          - { name: edit_file, input: { path: a.txt, old_text: one, new_text: two } }
          - { name: shell, input: { command: "cat a.txt" } }
      - text: It says two now.
`

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

test('a refusal for money pauses the run, and go repeats the very same call', async (t) => {
  for (const refusal of [
    { status: 402, body: { type: 'error', error: { type: 'billing_error', message: 'The budget is used up' } } },
    { status: 429, headers: { 'x-should-retry': 'false' }, body: { type: 'error', error: { type: 'rate_limit_error', message: 'The budget is used up' } } },
  ]) {
    const machine = await TestMachine.start(t, EDIT_AND_TEST)
    const { door } = machine
    machine.write('a.txt', 'one\n')
    let isOut = false
    door.onModelCall = () => {
      isOut = door.modelCalls >= 2 && !door.reports.some(({ state }, i) => state === 'paused' && i > 0 && door.instructions.control === 'go')
      return isOut ? refusal : undefined
    }
    door.onReport = (report) => {
      if (report.state === 'paused') door.wish({ control: 'park' })
    }
    door.wish({ control: 'go', run: machine.run() })
    await door.until('the pause', () => door.heartbeats.some(({ quiet }) => quiet))
    assert.match(door.reports.at(-1)?.reason ?? '', /The budget is used up/)
    const callsBefore = door.modelCalls
    door.wish({ control: 'go' })
    await door.until('the final report', () => door.finalReport !== undefined)
    assert.equal(door.modelCalls, callsBefore + 2)
    assert.deepEqual(
      door.reports.map(({ state }) => state),
      ['running', 'paused', 'running', 'succeeded'],
    )
    assert.equal(machine.read('a.txt'), 'two\n')
  }
})

test("a provider's refusal of the key fails the run with the provider's own words", async (t) => {
  const machine = await TestMachine.start(t, 'conversations: [{ replies: [{ text: never said }] }]')
  machine.door.onModelCall = () => ({ status: 401, body: { type: 'error', error: { type: 'authentication_error', message: 'invalid x-api-key' } } })
  machine.door.wish({ control: 'go', run: machine.run() })
  await machine.door.until('the final report', () => machine.door.finalReport !== undefined)
  assert.equal(machine.door.finalReport?.state, 'failed')
  assert.match(machine.door.finalReport?.reason ?? '', /invalid x-api-key/)
})

const SLOW = `
conversations:
  - match: Do it
    replies:
      - tools: [{ name: shell, input: { command: "touch started; while [ ! -e go ]; do sleep 0.05; done; echo x >> done.txt" } }]
      - tools: [{ name: shell, input: { command: "echo y >> done.txt" } }]
      - text: Done.
`

test('quiesce waits for the tool that runs, says quiet, and lets nothing write until go', async (t) => {
  const machine = await TestMachine.start(t, SLOW)
  const { door } = machine
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the command', () => existsSync(join(machine.project, 'started')))
  door.wish({ control: 'quiesce' })
  const beats = door.heartbeats.length
  await door.until('two more heartbeats', () => door.heartbeats.length >= beats + 2)
  assert.equal(
    door.heartbeats.some(({ quiet }) => quiet),
    false,
  )
  machine.write('go', '')
  await door.until('quiet', () => door.heartbeats.some(({ quiet }) => quiet))
  const before = machine.read('done.txt')
  const quietBeats = door.heartbeats.length
  await door.until('heartbeats in quiet', () => door.heartbeats.length >= quietBeats + 3)
  assert.equal(machine.read('done.txt'), before)
  assert.deepEqual(
    door.reports.map(({ state }) => state),
    ['running'],
  )
  door.wish({ control: 'go' })
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.equal(machine.read('done.txt'), 'x\ny\n')
})

test('park reports a pause and go continues; cancel ends the command with all its children and the run', async (t) => {
  const machine = await TestMachine.start(
    t,
    `
conversations:
  - match: Do it
    replies:
      - tools: [{ name: shell, input: { command: "echo x > first; while [ ! -e go ]; do sleep 0.05; done" } }]
      - tools: [{ name: shell, input: { command: "(setsid sleep 1000 & echo $! > pid); sleep 1000" } }]
`,
  )
  const { door } = machine
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the first command', () => existsSync(join(machine.project, 'first')))
  door.wish({ control: 'park' })
  machine.write('go', '')
  await door.until('the pause', () => door.reports.at(-1)?.state === 'paused')
  assert.equal(existsSync(join(machine.project, 'pid')), false)
  door.wish({ control: 'go' })
  await door.until('the second command', () => existsSync(join(machine.project, 'pid')) && machine.read('pid') !== '')
  const pid = Number(machine.read('pid'))
  door.wish({ control: 'cancel' })
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.equal(door.finalReport?.state, 'cancelled')
  assert.equal(isAlive(pid), false)
})

test('a Hub that dies in the middle of a run and comes back without memory of the machine gets every step', async (t) => {
  const machine = await TestMachine.start(t, SLOW)
  const { door } = machine
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the command', () => existsSync(join(machine.project, 'started')))
  await door.stop(true)
  machine.write('go', '')
  await door.start()
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.equal(door.finalReport?.state, 'succeeded')
  assert.equal(door.registrations.length, 2)
  assert.equal(new Set(door.registrations.map(({ boot_id: bootId }) => bootId)).size, 1)
  assert.deepEqual(
    door.eventsOf('step.finished').map(({ data }) => data['index']),
    [1, 2, 3],
  )
})

test('an agent that is killed in the middle of a tool call goes on with the same conversation and the next step', async (t) => {
  const machine = await TestMachine.start(t, SLOW)
  const { door } = machine
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the command', () => existsSync(join(machine.project, 'started')) && door.eventsOf('step.tool_started').length === 1)
  await machine.crash()
  machine.write('go', '')
  machine.boot()
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.equal(door.finalReport?.state, 'succeeded')
  assert.deepEqual(
    door.eventsOf('step.finished').map(({ data }) => data['index']),
    [2, 3],
  )
  const second = JSON.stringify(machine.model.calls()[1]?.body)
  assert.match(second, /interrupted before its result was recorded/)
  assert.equal(second.match(/Do it/g)?.length, 1)
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

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

test('an agent that is told to end takes its commands with it', async (t) => {
  const machine = await TestMachine.start(
    t,
    'conversations: [{ match: Do it, replies: [{ tools: [{ name: shell, input: { command: "echo $$ > pid; sleep 1000" } }] }] }]',
  )
  machine.door.wish({ control: 'go', run: machine.run() })
  await machine.door.until('the command', () => existsSync(join(machine.project, 'pid')) && machine.read('pid').endsWith('\n'))
  assert.equal(await machine.terminate(), 143)
  assert.equal(isAlive(Number(machine.read('pid'))), false)
})

test('an idle machine says quiet as soon as it is asked, and no longer when it works again', async (t) => {
  const machine = await TestMachine.start(t, 'conversations: [{ replies: [{ text: done }] }]')
  const { door } = machine
  await door.until('a heartbeat', () => door.heartbeats.length > 0)
  assert.equal(door.heartbeats.at(-1)?.quiet, false)
  door.wish({ control: 'quiesce' })
  await door.until('quiet', () => door.heartbeats.at(-1)?.quiet === true)
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the final report', () => door.finalReport !== undefined)
  await door.until('no quiet', () => door.heartbeats.at(-1)?.quiet === false)
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
