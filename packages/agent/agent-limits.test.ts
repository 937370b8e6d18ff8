/** What an agent does when a limit is met while its tools work: each policy, over a real door, with real commands, and with the real Claude Code where it is installed. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { BudgetStatus } from '@autovibe/contract'
import type { DoorServer } from './test/door-server.ts'
import { TestMachine } from './test/machine.ts'

const COUNTING = 'echo $$ > pid; i=0; while [ ! -e go ]; do i=$((i+1)); echo $i > count; sleep 0.02; done; echo done > result'
const SCRIPT = `
conversations:
  - match: Do it
    replies:
      - tools: [{ name: shell, input: { command: "${COUNTING}" } }]
      - text: It is counted.
`
const met = (policy: 'park' | 'finish-step'): Partial<BudgetStatus> => ({
  limit_met: { policy, sentence: 'Nothing is left of the budget of the project demo.' },
})

/** The project's money goes to somebody else while the command runs; who is told of the pause answers as the Hub does. */
async function meetLimit(machine: TestMachine, policy: 'park' | 'finish-step'): Promise<DoorServer> {
  const { door } = machine
  door.onReport = ({ state }) => {
    if (state === 'paused') door.wish({ control: 'park' })
  }
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the command', () => existsSync(join(machine.project, 'count')))
  door.budget = { ...door.budget, ...met(policy) }
  return door
}

function raise(door: DoorServer): void {
  door.budget = { ...door.budget, limit_met: null }
  door.wish({ control: 'go' })
}

test('a limit that parks makes a command under way stand still, and a raised one lets it go on where it was', async (t) => {
  const machine = await TestMachine.start(t, SCRIPT)
  const door = await meetLimit(machine, 'park')
  await door.until('the pause', () => door.reports.at(-1)?.state === 'paused')
  assert.equal(door.reports.at(-1)?.reason, 'Nothing is left of the budget of the project demo.')
  const pid = machine.read('pid').trim()
  const count = machine.read('count')
  const beats = door.heartbeats.length
  await door.until('three heartbeats', () => door.heartbeats.length >= beats + 3)
  assert.equal(stateOf(pid), 'T')
  assert.deepEqual([machine.read('count'), door.modelCalls], [count, 1])
  // What stands still writes nothing, so a checkpoint need not wait for it.
  assert.equal(door.heartbeats.at(-1)?.quiet, true)
  raise(door)
  await door.until('the count going on', () => machine.read('count') !== count)
  machine.write('go', '')
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.equal(machine.read('pid').trim(), pid)
  assert.deepEqual(
    door.reports.map(({ state }) => state),
    ['running', 'paused', 'running', 'succeeded'],
  )
})

test('a command that stands still for longer than it may run has its whole time left', async (t) => {
  const script = SCRIPT.replace('{ command:', '{ timeout_seconds: 1, command:')
  const machine = await TestMachine.start(t, script)
  const door = await meetLimit(machine, 'park')
  await door.until('the pause', () => door.reports.at(-1)?.state === 'paused')
  const beats = door.heartbeats.length
  await door.until('ten heartbeats, which are two seconds', () => door.heartbeats.length >= beats + 10)
  machine.write('go', '')
  raise(door)
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.equal(machine.read('result'), 'done\n')
})

test('a run that is cancelled while its command stands still ends with it', async (t) => {
  const machine = await TestMachine.start(t, SCRIPT)
  const door = await meetLimit(machine, 'park')
  await door.until('the pause', () => door.reports.at(-1)?.state === 'paused')
  door.wish({ control: 'cancel' })
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.equal(door.finalReport?.state, 'cancelled')
  assert.match(stateOf(machine.read('pid').trim()), /^[ZX-]$/)
})

test('a limit that lets a step finish waits for its command, and then pauses before the next call', async (t) => {
  const machine = await TestMachine.start(t, SCRIPT)
  const door = await meetLimit(machine, 'finish-step')
  const count = machine.read('count')
  const beats = door.heartbeats.length
  await door.until('three heartbeats', () => door.heartbeats.length >= beats + 3)
  assert.notEqual(machine.read('count'), count)
  machine.write('go', '')
  await door.until('the pause', () => door.reports.at(-1)?.state === 'paused')
  assert.deepEqual([machine.read('result'), door.modelCalls], ['done\n', 1])
  raise(door)
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.deepEqual([door.finalReport?.state, door.finalReport?.summary, door.modelCalls], ['succeeded', 'It is counted.', 2])
})

test('the agent is told once how much of the money is used', async (t) => {
  const machine = await TestMachine.start(t, SCRIPT)
  const { door } = machine
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the command', () => existsSync(join(machine.project, 'count')))
  door.budget = { ...door.budget, reached_percent: 80 }
  const beats = door.heartbeats.length
  await door.until('two heartbeats', () => door.heartbeats.length >= beats + 2)
  machine.write('go', '')
  await door.until('the final report', () => door.finalReport !== undefined)
  const [first, second] = machine.model.calls().map(({ body }) => JSON.stringify(body))
  assert.doesNotMatch(first ?? '', /of the money is used/)
  assert.equal(second?.match(/80 % of the money is used/g)?.length, 1)
})

const WOUND_DOWN = `
conversations:
  - match: Do it
    replies:
      - tools: [{ name: shell, input: { command: echo half > a.txt } }]
      - text: Saved. Half is done, the rest is open.
      - tools: [{ name: shell, input: { command: echo whole > a.txt } }]
      - text: All is done.
`
const REFUSED = { status: 402, body: { type: 'error', error: { type: 'billing_error', message: 'autovibe: Nothing is left of the budget of the run.' } } }

/** The gateway's part: from the second call on there is no money, and whoever is told so once may call to close the work while something is set aside for it. */
function outOfMoney(door: DoorServer, closingCalls: number): void {
  let left = closingCalls
  door.onModelCall = () => {
    if (door.modelCalls === 1 || door.reports.filter(({ state }) => state === 'running').length > 1) return undefined
    if (!door.budget.winding_down) {
      door.budget = { ...door.budget, winding_down: true }
      return REFUSED
    }
    return left-- > 0 ? undefined : REFUSED
  }
  door.onReport = ({ state }) => {
    if (state === 'paused') door.wish({ control: 'park' })
  }
}

test('a run that is wound down saves its work, reports in one closing turn, keeps a checkpoint, and goes on with new money', async (t) => {
  const machine = await TestMachine.start(t, WOUND_DOWN)
  const { door } = machine
  outOfMoney(door, 1)
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the pause', () => door.reports.at(-1)?.state === 'paused')
  const { reason, summary } = door.reports.at(-1) ?? {}
  assert.deepEqual([reason, summary], ['Nothing is left of the budget of the run.', 'Saved. Half is done, the rest is open.'])
  assert.equal(door.checkpoints.at(-1)?.trigger, 'files-changed')
  assert.match(JSON.stringify(machine.model.calls().at(-1)?.body), /The money for this work is used up/)
  door.budget = { ...door.budget, winding_down: false }
  door.wish({ control: 'go' })
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.deepEqual([door.finalReport?.state, door.finalReport?.summary, machine.read('a.txt')], ['succeeded', 'All is done.', 'whole\n'])
  assert.match(JSON.stringify(machine.model.calls().at(-1)?.body), /There is money again/)
})

test('a run whose closing turn is refused too is handed back without a word, and calls no more', async (t) => {
  const machine = await TestMachine.start(t, WOUND_DOWN)
  const { door } = machine
  outOfMoney(door, 0)
  door.wish({ control: 'go', run: machine.run() })
  await door.until('quiet', () => door.heartbeats.at(-1)?.quiet === true && door.reports.at(-1)?.state === 'paused')
  assert.deepEqual([door.reports.at(-1)?.summary, door.modelCalls], [null, 3])
})

test('an agent that is killed after it handed its work back does not take that for the end of the task', async (t) => {
  const machine = await TestMachine.start(t, WOUND_DOWN)
  const { door } = machine
  outOfMoney(door, 1)
  door.wish({ control: 'go', run: machine.run() })
  await door.until('the pause', () => door.reports.at(-1)?.state === 'paused')
  await machine.crash()
  door.onModelCall = undefined
  door.budget = { ...door.budget, winding_down: false }
  door.wish({ control: 'go' })
  machine.boot()
  await door.until('the final report', () => door.finalReport !== undefined)
  assert.deepEqual([door.finalReport?.summary, machine.read('a.txt')], ['All is done.', 'whole\n'])
})

/** As the kernel has it: T stands still, - is gone. */
function stateOf(pid: string): string {
  try {
    return /^\d+ \(.*\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1'))?.[1] ?? '-'
  } catch {
    return '-'
  }
}
