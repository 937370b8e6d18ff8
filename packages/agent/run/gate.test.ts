import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Gate } from './gate.ts'

const never = new AbortController().signal

test('a hold waits for who is inside and keeps out who comes later', async () => {
  const gate = new Gate()
  const order: string[] = []
  await gate.enter(never)
  const held = gate.hold(never).then(() => order.push('held'))
  const entered = gate.enter(never).then(() => order.push('entered'))
  order.push('leaving')
  gate.leave()
  await held
  order.push('releasing')
  await gate.release()
  await entered
  assert.deepEqual(order, ['leaving', 'held', 'releasing', 'entered'])
})

test('a wait at the gate ends with the signal, and then nobody is inside', async () => {
  const gate = new Gate()
  await gate.hold(never)
  const abort = new AbortController()
  const waiting = gate.enter(abort.signal)
  abort.abort(new Error('cancelled'))
  await assert.rejects(waiting, /cancelled/)
  await gate.release()
  await gate.hold(never)
})

test('a freezer is frozen while anyone holds and thawed once when the last lets go', async () => {
  const gate = new Gate()
  const calls: string[] = []
  gate.attach({ freeze: async () => void calls.push('freeze'), thaw: async () => void calls.push('thaw') })
  await Promise.all([gate.hold(never), gate.hold(never)])
  await gate.release()
  assert.deepEqual(calls, ['freeze'])
  await gate.release()
  assert.deepEqual(calls, ['freeze', 'thaw'])
})

test('leaving or releasing more often than came is a mistake that is told', async () => {
  const gate = new Gate()
  assert.throws(() => gate.leave(), RangeError)
  await assert.rejects(gate.release(), RangeError)
})

test('in any order of comings and goings nobody is inside while the gate is quiet', async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.array(fc.constantFrom('work', 'hold'), { minLength: 1, maxLength: 12 }), async (scheduler, actors) => {
      const gate = new Gate()
      let inside = 0
      let quiet = 0
      const work = async (): Promise<void> => {
        await scheduler.schedule(Promise.resolve())
        await gate.enter(never)
        inside++
        assert.equal(quiet, 0)
        await scheduler.schedule(Promise.resolve())
        inside--
        gate.leave()
      }
      const hold = async (): Promise<void> => {
        await scheduler.schedule(Promise.resolve())
        await gate.hold(never)
        quiet++
        assert.equal(inside, 0)
        await scheduler.schedule(Promise.resolve())
        assert.equal(inside, 0)
        quiet--
        await gate.release()
      }
      const all = Promise.all(actors.map((actor) => (actor === 'work' ? work() : hold())))
      await scheduler.waitFor(all)
    }),
    { numRuns: 200 },
  )
})

test('a halt shuts the gate at once, lets others hold it although somebody is inside, and ends only when they let go', async () => {
  const gate = new Gate()
  const order: string[] = []
  const still = { freeze: async () => void order.push('still'), thaw: async () => void order.push('moving') }
  await gate.enter(never)
  assert.equal(gate.isBusy, true)
  await gate.halt(still)
  assert.equal(gate.isBusy, false)
  const entered = gate.enter(never).then(() => order.push('entered'))
  await gate.hold(never)
  const gone = gate.goOn(still, never)
  order.push('releasing')
  await gate.release()
  await gone
  await entered
  assert.deepEqual(order, ['still', 'releasing', 'moving', 'entered'])
  assert.equal(gate.isBusy, true)
})

test('a halt that is broken off lets those inside go on all the same', async () => {
  const gate = new Gate()
  let isStill = false
  const still = {
    freeze: async () => {
      isStill = true
    },
    thaw: async () => {
      isStill = false
    },
  }
  await gate.enter(never)
  await gate.halt(still)
  await gate.hold(never)
  await assert.rejects(gate.goOn(still, AbortSignal.abort(new Error('cancelled'))), /cancelled/)
  assert.equal(isStill, false)
  await gate.release()
  assert.equal(gate.held, false)
})
