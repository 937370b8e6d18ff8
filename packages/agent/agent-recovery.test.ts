/** The agent when the Hub or the agent itself dies in the middle of a run. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { TestMachine } from './test/machine.ts'
import { SLOW } from './test/scripts.ts'

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
