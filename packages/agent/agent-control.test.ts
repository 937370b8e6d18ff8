/** What the Hub, the money and the host tell a running agent to do (stand still, pause, cancel, end), and that it does. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { TestMachine } from './test/machine.ts'
import { EDIT_AND_TEST, SLOW } from './test/scripts.ts'

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
    // The pause has interrupted it for the Hub; from here on it is under way again.
    assert.deepEqual(
      [...door.events.values()].flatMap(({ type, data }) => (type === 'step.started' || type === 'step.finished' ? [`${type} ${data['index']}`] : [])),
      ['step.started 1', 'step.finished 1', 'step.started 2', 'step.started 2', 'step.finished 2', 'step.started 3', 'step.finished 3'],
    )
  }
})

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

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}
