/** The tables of machine and run states, walked from end to end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MACHINE_STATES, type MachineState } from '@autovibe/contract'
import { nextRunState, RUN_TRANSITIONS } from '../runs/transitions.ts'
import { assertMachineAllows, isAwake, MACHINE_ACTIONS, MACHINE_TRANSITIONS, type MachineTransition, machineAllows, nextMachineState } from './transitions.ts'

const transitions = Object.keys(MACHINE_TRANSITIONS) as MachineTransition[]

test('every state but the first is reached from the first, and every state but the last leads on', () => {
  const reached = new Set<MachineState>(['requested'])
  for (let round = 0; round < MACHINE_STATES.length; round++) {
    for (const state of [...reached]) {
      for (const name of transitions) {
        const { from, to } = MACHINE_TRANSITIONS[name]
        if ((from as readonly MachineState[]).includes(state)) reached.add(to)
      }
    }
  }
  assert.deepEqual([...reached].sort(), [...MACHINE_STATES].sort())
  for (const state of MACHINE_STATES) {
    const leadsOn = transitions.some((name) => (MACHINE_TRANSITIONS[name].from as readonly MachineState[]).includes(state))
    assert.equal(leadsOn, state !== 'destroyed', state)
  }
})

test('a destroyed machine never changes again', () => {
  for (const name of transitions) {
    if (MACHINE_TRANSITIONS[name].to === 'destroyed') assert.equal(nextMachineState('destroyed', name), 'destroyed')
    else assert.throws(() => nextMachineState('destroyed', name), { code: 'conflict.state' })
  }
})

test('every state times every transition answers with its table entry or refuses', () => {
  for (const state of MACHINE_STATES) {
    for (const name of transitions) {
      const { from, to } = MACHINE_TRANSITIONS[name]
      if (state === to || (from as readonly MachineState[]).includes(state)) assert.equal(nextMachineState(state, name), to)
      else assert.throws(() => nextMachineState(state, name), { code: 'conflict.state' })
    }
  }
})

test('a refused action names the states in which it is possible', () => {
  for (const [action, states] of Object.entries(MACHINE_ACTIONS)) {
    for (const state of MACHINE_STATES) {
      const allowed = (states as readonly MachineState[]).includes(state)
      assert.equal(machineAllows(state, action as keyof typeof MACHINE_ACTIONS), allowed)
      if (!allowed)
        assert.throws(
          () => assertMachineAllows({ name: 'm', state }, action as keyof typeof MACHINE_ACTIONS),
          (error: Error) => states.every((name) => error.message.includes(name)),
        )
    }
  }
})

test('a refused action leads to a command that goes on from there', () => {
  const fixOf = (state: MachineState, action: keyof typeof MACHINE_ACTIONS) => {
    try {
      assertMachineAllows({ name: 'm', state }, action)
    } catch (thrown) {
      return (thrown as { fix?: string }).fix
    }
    return null
  }
  assert.deepEqual(
    [
      fixOf('stopped', 'run'),
      fixOf('stopped', 'stop'),
      fixOf('running', 'run'),
      fixOf('ready', 'start'),
      fixOf('destroyed', 'rollback'),
      fixOf('ready', 'run'),
    ],
    ['autovibe machine start m', 'autovibe ps', 'autovibe attach m', 'autovibe ps', 'autovibe checkpoint list', null],
  )
})

test('a machine that can run a prompt is awake', () => {
  for (const state of MACHINE_ACTIONS.run) assert.ok(isAwake(state))
})

test('an ended run never changes again, whatever is reported late', () => {
  for (const state of ['succeeded', 'failed', 'cancelled'] as const) {
    for (const transition of Object.keys(RUN_TRANSITIONS) as (keyof typeof RUN_TRANSITIONS)[]) assert.equal(nextRunState(state, transition), null)
  }
})
