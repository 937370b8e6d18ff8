/** Operations begun by the request that asks for them: what stands with it, what does not, and who goes on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError, type OperationId } from '@autovibe/contract'
import { advance } from './advance.ts'
import { askAndBegin } from './at-once.ts'
import { claimNext } from './claim.ts'
import { type AnyOperation, registryOf } from './define.ts'
import { LEASE_MS } from './limits.ts'
import { database, Empty, operation } from './test-diary.ts'
import { testClock, testEngine } from './testing.ts'

const NOBODY = { projectId: null, machineId: null }

async function ground(definition: AnyOperation) {
  await database.pool.query('delete from operation_steps; delete from operations; delete from events')
  const clock = testClock()
  const diary: { lines: string[] } = { lines: [] }
  const engine = testEngine({ db: database.db, registry: registryOf([definition]), clock, ports: diary })
  const ask = (refuse = false) =>
    askAndBegin<OperationId>(engine.context, async (tx, enqueue) => {
      const id = await enqueue(tx, clock, definition, {}, NOBODY)
      if (refuse) throw new AutovibeError('conflict.busy', 'Not now.')
      return id
    })
  return { clock, diary, engine, ask }
}

const booked = () =>
  operation('booked', Empty)
    .tx('book', { do: async () => ({ seat: 7 }) })
    .ensure('call', { do: async ({ outputs, ports }) => (ports.lines.push(`seat ${outputs.book.seat}`), { done: null }) })
    .tx('close', { do: async () => null })

test('the steps of the database are done with the request, the call is not, and nobody else takes the operation', async () => {
  const { engine, diary, ask } = await ground(booked())
  const { answer: id, begun } = await ask()
  assert.ok(begun)
  const row = await engine.operation(id)
  assert.deepEqual([row.state, row.step_index, row.step_attempts, row.outputs, row.lease_owner], ['running', 1, 1, { book: { seat: 7 } }, 'test'])
  assert.deepEqual(diary.lines, [])
  assert.equal(await claimNext(engine.context), null)
  await advance(engine.context, begun.claim, begun.row, begun.reached)
  assert.equal((await engine.operation(id)).state, 'done')
  assert.deepEqual(diary.lines, ['seat 7'])
  const steps = await database.db.selectFrom('operation_steps').select(['state', 'attempts']).where('operation_id', '=', id).orderBy('index').execute()
  assert.deepEqual(
    steps.map(({ state, attempts }) => `${state} ${attempts}`),
    ['done 0', 'done 1', 'done 0'],
  )
})

test('a Hub that dies between the request and the call loses nothing: another goes on when the lease has run out', async () => {
  const { engine, clock, diary, ask } = await ground(booked())
  const { answer: id } = await ask()
  assert.equal(await engine.workOnce(), 0)
  clock.advance(LEASE_MS + 1)
  await engine.settle()
  assert.deepEqual([(await engine.operation(id)).state, diary.lines], ['done', ['seat 7']])
})

test('a request that is refused after all leaves no operation behind', async () => {
  const { engine, diary, ask } = await ground(booked())
  await assert.rejects(ask(true), (error: AutovibeError) => error.code === 'conflict.busy')
  await engine.settle()
  assert.deepEqual(await database.db.selectFrom('operations').select('id').execute(), [])
  assert.deepEqual(diary.lines, [])
})

test('a step that fails in the transaction of the request fails no request, and is retried in a turn of its own', async () => {
  let tries = 0
  const { engine, ask } = await ground(
    operation('unlucky', Empty).tx('book', {
      do: async () => {
        if (++tries === 1) throw new AutovibeError('substrate.unavailable', 'not now')
        return null
      },
    }),
  )
  const { answer: id, begun } = await ask()
  assert.equal(begun, null)
  assert.equal((await engine.operation(id)).state, 'pending')
  await engine.settle()
  assert.deepEqual([(await engine.operation(id)).state, tries], ['done', 2])
  assert.equal((await database.db.selectFrom('operations').select('id').execute()).length, 1)
})

test('an operation whose commit was not answered is due at once, and not when its lease runs out', async () => {
  const { engine, diary, ask } = await ground(booked())
  const isLost = engine.loseAnswerOfCommit(1)
  await assert.rejects(ask(), /Connection terminated/)
  assert.ok(isLost())
  const { id, state, step_index, lease_owner } = await database.db.selectFrom('operations').selectAll().executeTakeFirstOrThrow()
  assert.deepEqual([state, step_index, lease_owner], ['running', 1, null])
  assert.equal(await engine.workOnce(), 1)
  assert.deepEqual([(await engine.operation(id)).state, diary.lines], ['done', ['seat 7']])
})

test('an operation that needs nothing from outside has ended with the request', async () => {
  const { engine, ask } = await ground(operation('short', Empty).tx('book', { do: async () => null }))
  const { answer: id, begun } = await ask()
  assert.equal(begun?.reached, 'ended')
  assert.equal((await engine.operation(id)).state, 'done')
})
