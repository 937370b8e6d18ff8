/** The real Claude Code binary as the agent of a machine, offline. Needs AUTOVIBE_TEST_AGENTS_DIR, a folder with claude-code/node_modules. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { StepFinished } from '@autovibe/contract'
import { findClaude } from './adapters/claude-code/binary.ts'
import { OTHER_RUN_ID } from './test/door-server.ts'
import { TestMachine } from './test/machine.ts'

const agentsDir = process.env['AUTOVIBE_TEST_AGENTS_DIR']
const binary = await findClaude(agentsDir ?? null)
const skip = binary === undefined || agentsDir === undefined ? 'Claude Code is not installed (AUTOVIBE_TEST_AGENTS_DIR)' : false
const agents = agentsDir ?? ''

const EDIT = `
conversations:
  - match: And then that
    replies: [{ text: That too. }]
  - match: Do it
    replies:
      - text: I look first.
        tools: [{ name: Read, input: { file_path: "{{folder}}/tree/project/a.txt" } }]
      - text: Now the change.
        tools:
          - { name: Edit, input: { file_path: "{{folder}}/tree/project/a.txt", old_string: one, new_string: two } }
          - { name: Bash, input: { command: "cat a.txt; printenv NO_PROXY HTTPS_PROXY > ../proxy.txt", description: look } }
      - text: It says two now.
`

test('Claude Code edits a file, its lines become our steps, and its cost is exact to the nano-dollar', { skip }, async (t) => {
  const machine = await TestMachine.start(t, EDIT, { agentsDir: agents })
  const { door } = machine
  machine.write('a.txt', 'one\n')
  // Told of a way out, it still calls its model over the socket.
  door.wish({ control: 'go', egress: ['allowed.test:443'], run: machine.run({ agent: 'claude-code', check: 'grep two a.txt' }) })
  await door.until('the final report', () => door.finalReport !== undefined, 60_000)
  assert.deepEqual(door.violations, [])
  assert.deepEqual([door.finalReport?.state, door.finalReport?.reason, door.finalReport?.summary], ['succeeded', null, 'It says two now.'])
  assert.equal(machine.read('a.txt'), 'two\n')
  assert.match(machine.read('../proxy.txt'), /^localhost,127\.0\.0\.1,::1,hub\nhttp:\/\/machine:\S+@127\.0\.0\.1:\d+\/\n$/)
  const steps = door.eventsOf('step.finished').map(({ data }) => StepFinished.parse(data))
  assert.deepEqual(
    steps.map(({ index, text, tools }) => [index, text, tools.map(({ name, is_error: isError }) => `${name} ${isError}`)]),
    [
      [1, 'I look first.', ['Read false']],
      [2, 'Now the change.', ['Edit false', 'Bash false']],
      [3, 'It says two now.', []],
    ],
  )
  assert.deepEqual(
    door.checkpoints.map(({ trigger, step }) => `${trigger}@${step}`),
    ['files-changed@2', 'exit@3'],
  )
  // claude-sonnet-5 by Claude Code's own list.
  assert.match(door.finalReport?.agent_reported_cost ?? '', /^[1-9][0-9]*$/)

  const first = BigInt(door.finalReport?.agent_reported_cost ?? 0)
  door.reports.length = 0
  door.wish({ control: 'go', run: machine.run({ id: OTHER_RUN_ID, agent: 'claude-code', prompt: 'And then that', resume: true, notice: 'You are a fork.' }) })
  await door.until('the second run', () => door.finalReport !== undefined, 60_000)
  assert.equal(door.finalReport?.summary, 'That too.')
  const second = BigInt(door.finalReport?.agent_reported_cost ?? 0)
  assert.ok(second > 0n && second < first, `the second run is one call of four: ${second} of ${first}`)
  const body = JSON.stringify(machine.model.calls().at(-1)?.body)
  assert.match(body, /Do it.*It says two now\..*You are a fork\./)
})

test('Claude Code that is refused for money pauses and goes on in its own session', { skip }, async (t) => {
  const machine = await TestMachine.start(t, EDIT, { agentsDir: agents })
  const { door } = machine
  machine.write('a.txt', 'one\n')
  door.onModelCall = () =>
    door.modelCalls >= 2 && !(door.instructions.revision > 2 && door.instructions.control === 'go')
      ? { status: 402, body: { type: 'error', error: { type: 'billing_error', message: 'The budget is used up' } } }
      : undefined
  door.onReport = (report) => {
    if (report.state === 'paused') door.wish({ control: 'park' })
  }
  door.wish({ control: 'go', run: machine.run({ agent: 'claude-code' }) })
  await door.until('the pause', () => door.heartbeats.some(({ quiet }) => quiet), 60_000)
  assert.match(door.reports.at(-1)?.reason ?? '', /The budget is used up/)
  door.wish({ control: 'go' })
  await door.until('the final report', () => door.finalReport !== undefined, 60_000)
  assert.deepEqual(
    door.reports.map(({ state }) => state),
    ['running', 'paused', 'running', 'succeeded'],
  )
})

test('Claude Code stands still with its commands while the Hub wants quiet, and dies with them when the run is cancelled', { skip }, async (t) => {
  const machine = await TestMachine.start(
    t,
    `
conversations:
  - match: Do it
    replies:
      - tools: [{ name: Bash, input: { command: "echo x > first; while [ ! -e go ]; do sleep 0.05; done", description: wait } }]
      - delay_ms: 300
        text: Then the second command.
        tools: [{ name: Bash, input: { command: "echo $$ > pid; sleep 1000", description: wait } }]
`,
    { agentsDir: agents },
  )
  const { door } = machine
  door.wish({ control: 'go', run: machine.run({ agent: 'claude-code' }) })
  await door.until('the first command', () => existsSync(join(machine.project, 'first')), 60_000)
  door.wish({ control: 'quiesce' })
  machine.write('go', '')
  await door.until('quiet', () => door.heartbeats.at(-1)?.quiet === true, 60_000)
  const beats = door.heartbeats.length
  await door.until('five heartbeats in quiet', () => door.heartbeats.length >= beats + 5)
  assert.equal(existsSync(join(machine.project, 'pid')), false)
  door.wish({ control: 'go' })
  await door.until('the second command', () => existsSync(join(machine.project, 'pid')) && machine.read('pid').endsWith('\n'), 60_000)
  const pid = machine.read('pid').trim()
  door.wish({ control: 'cancel' })
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.equal(door.finalReport?.state, 'cancelled')
  assert.equal(isAlive(pid), false)
})

test('Claude Code stands still in the middle of a command when a limit that parks is met, and goes on where it was', { skip }, async (t) => {
  const machine = await TestMachine.start(
    t,
    `
conversations:
  - match: Do it
    replies:
      - tools: [{ name: Bash, input: { command: "i=0; while [ ! -e go ]; do i=$((i+1)); echo $i > count; sleep 0.02; done; echo done > result", description: count } }]
      - text: It is counted.
`,
    { agentsDir: agents },
  )
  const { door } = machine
  door.onReport = ({ state }) => {
    if (state === 'paused') door.wish({ control: 'park' })
  }
  door.wish({ control: 'go', run: machine.run({ agent: 'claude-code' }) })
  await door.until('the command', () => existsSync(join(machine.project, 'count')), 60_000)
  door.budget = { ...door.budget, limit_met: { policy: 'park', sentence: 'Nothing is left of the budget of the project demo.' } }
  await door.until('the pause', () => door.reports.at(-1)?.state === 'paused')
  const count = machine.read('count')
  const beats = door.heartbeats.length
  await door.until('three heartbeats', () => door.heartbeats.length >= beats + 3)
  assert.equal(machine.read('count'), count)
  door.budget = { ...door.budget, limit_met: null }
  door.wish({ control: 'go' })
  await door.until('the count going on', () => machine.read('count') !== count)
  machine.write('go', '')
  await door.until('the final report', () => door.finalReport !== undefined, 60_000)
  assert.deepEqual([door.finalReport?.state, door.finalReport?.summary, machine.read('result')], ['succeeded', 'It is counted.', 'done\n'])
  assert.deepEqual(
    door.reports.map(({ state }) => state),
    ['running', 'paused', 'running', 'succeeded'],
  )
})

test('Claude Code that is wound down closes its work in its own session, and goes on in it with new money', { skip }, async (t) => {
  const machine = await TestMachine.start(
    t,
    `
conversations:
  - match: Do it
    replies:
      - tools: [{ name: Bash, input: { command: "echo half > a.txt", description: begin } }]
      - text: Half is done.
      - text: All is done.
`,
    { agentsDir: agents },
  )
  const { door } = machine
  door.onModelCall = () => {
    if (door.modelCalls === 1 || door.budget.winding_down || door.reports.length > 2) return undefined
    door.budget = { ...door.budget, winding_down: true }
    return { status: 402, body: { type: 'error', error: { type: 'billing_error', message: 'autovibe: Nothing is left of the budget of the run.' } } }
  }
  door.onReport = ({ state }) => {
    if (state === 'paused') door.wish({ control: 'park' })
  }
  door.wish({ control: 'go', run: machine.run({ agent: 'claude-code' }) })
  await door.until('the pause', () => door.reports.at(-1)?.state === 'paused', 60_000)
  assert.deepEqual([door.reports.at(-1)?.summary, machine.read('a.txt')], ['Half is done.', 'half\n'])
  assert.match(JSON.stringify(machine.model.calls().at(-1)?.body), /The money for this work is used up/)
  door.budget = { ...door.budget, winding_down: false }
  door.wish({ control: 'go' })
  await door.until('the final report', () => door.finalReport !== undefined, 60_000)
  assert.equal(door.finalReport?.summary, 'All is done.')
  assert.match(JSON.stringify(machine.model.calls().at(-1)?.body), /The money for this work is used up.*Half is done\..*There is money again/)
})

function isAlive(pid: string): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}
