/** One operation on its way, forward and back, made to fail in every way. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Tx } from '../../database/database.ts'
import { requestCancel } from './enqueue.ts'
import { DO_ATTEMPTS_MAX, UNDO_ATTEMPTS_MAX } from './limits.ts'
import { retryStuck } from './stuck.ts'
import { begin, database, Empty, operation } from './test-diary.ts'

test('steps run in order, hand their outputs on, and leave events and progress', async () => {
  const { engine, id, diary, eventTypes } = await begin(
    operation('greet', Empty)
      .tx('first', { do: async () => ({ word: 'hello' }) })
      .ensure('second', { do: async ({ outputs }) => ({ done: { sentence: `${outputs.first.word} world` } }) })
      .tx('third', { do: async ({ outputs, ports }) => (ports.lines.push(outputs.second.sentence), null) }),
  )
  await engine.settle()
  const row = await engine.operation(id)
  assert.equal(row.state, 'done')
  assert.deepEqual(diary.lines, ['hello world'])
  assert.deepEqual(row.outputs, { first: { word: 'hello' }, second: { sentence: 'hello world' }, third: null })
  assert.equal((await eventTypes()).at(-1), 'operation.finished')
  const steps = await database.db.selectFrom('operation_steps').select(['name', 'state', 'attempts']).where('operation_id', '=', id).orderBy('index').execute()
  assert.deepEqual(
    steps.map(({ state }) => state),
    ['done', 'done', 'done'],
  )
})

test('a retryable failure is tried again and then succeeds', async () => {
  let calls = 0
  const { engine, id } = await begin(
    operation('flaky', Empty).ensure('call', {
      do: async () => {
        if (++calls < 3) throw new AutovibeError('substrate.unavailable', 'not now')
        return { done: null }
      },
    }),
  )
  await engine.settle()
  assert.equal((await engine.operation(id)).state, 'done')
  assert.equal(calls, 3)
})

test('a call that is refused for good is made once, also right behind a step of the database', async () => {
  let calls = 0
  const { engine, id } = await begin(
    operation('refused', Empty)
      .tx('book', { do: async () => null })
      .ensure('call', {
        do: async () => {
          calls++
          throw new AutovibeError('substrate.failed', 'no')
        },
      }),
  )
  await engine.settle()
  assert.deepEqual([(await engine.operation(id)).state, calls], ['failed', 1])
})

test('a step that keeps failing is given up after its attempts, and the way back covers it too', async () => {
  let calls = 0
  const { engine, id, diary } = await begin(
    operation('doomed', Empty)
      .tx('book', { do: async () => null, undo: async ({ ports }) => void ports.lines.push('unbook') })
      .ensure('call', {
        do: async () => {
          calls++
          throw new AutovibeError('substrate.unavailable', 'never')
        },
        undo: async ({ ports, reason }) => void ports.lines.push(`uncall because ${reason?.code}`),
      }),
  )
  await engine.settle()
  const row = await engine.operation(id)
  assert.equal(row.state, 'failed')
  assert.equal(row.error?.step, 'call')
  assert.equal(calls, DO_ATTEMPTS_MAX)
  assert.deepEqual(diary.lines, ['uncall because substrate.unavailable', 'unbook'])
})

test('an error that cannot pass turns the operation round at once', async () => {
  let calls = 0
  const { engine, id } = await begin(
    operation('refused', Empty).tx('check', {
      do: async () => {
        calls++
        throw new AutovibeError('budget.insufficient', 'too little')
      },
    }),
  )
  await engine.settle()
  const row = await engine.operation(id)
  assert.deepEqual([row.state, row.error?.code, calls], ['failed', 'budget.insufficient', 1])
})

test('a failed transaction step leaves nothing of its effect behind', async () => {
  const { engine, id } = await begin(
    operation('half', Empty).tx('write', {
      do: async (_, tx) => {
        await tx.insertInto('audit_log').values({ at: new Date(), actor: 'test', action: 'half', subject: 'x', request_id: null, detail: '{}' }).execute()
        throw new AutovibeError('internal', 'after the write')
      },
    }),
  )
  await engine.settle()
  assert.equal((await engine.operation(id)).state, 'failed')
  assert.equal((await database.db.selectFrom('audit_log').selectAll().where('action', '=', 'half').execute()).length, 0)
})

test('steps share a transaction, and when a later one fails those before it stand, each once', async () => {
  const transactions: string[] = []
  let failures = 0
  const note = (action: string) => async (_: unknown, tx: Tx) => {
    const { rows } = await sql<{ id: string }>`select pg_current_xact_id()::text as id`.execute(tx)
    transactions.push(rows[0]?.id ?? '')
    await tx.insertInto('audit_log').values({ at: new Date(), actor: 'test', action, subject: 'x', request_id: null, detail: '{}' }).execute()
    if (action === 'shared third' && failures++ < 1) throw new AutovibeError('substrate.unavailable', 'not now')
    return null
  }
  const { engine, id } = await begin(
    operation('shared', Empty)
      .tx('first', { do: note('shared first') })
      .tx('second', { do: note('shared second') })
      .tx('third', { do: note('shared third') }),
  )
  await engine.settle()
  assert.equal((await engine.operation(id)).state, 'done')
  const [first, second, third, again, once, later] = transactions
  assert.equal(new Set([first, second, third]).size, 1, 'all that needs nothing outside is one transaction')
  assert.equal(again, once, 'what came before the failure is recorded together')
  assert.notEqual(later, once)
  const written = await database.db.selectFrom('audit_log').select('action').where('action', 'like', 'shared %').orderBy('action').execute()
  assert.deepEqual(
    written.map(({ action }) => action),
    ['shared first', 'shared second', 'shared third'],
  )
})

test('a pending step keeps its handle and finds its work again', async () => {
  const handles: unknown[] = []
  const { engine, id } = await begin(
    operation('slow', Empty).ensure('task', {
      do: async (_, handle) => {
        handles.push(handle)
        return handles.length < 3 ? { pending: { ticket: handles.length }, againMs: 1000 } : { done: null }
      },
    }),
  )
  await engine.settle()
  assert.equal((await engine.operation(id)).state, 'done')
  assert.deepEqual(handles, [null, { ticket: 1 }, { ticket: 2 }])
})

test('a wait ends when its row is there, and at its deadline it undoes or goes on as written', async () => {
  let ready = false
  const waiting = await begin(operation('wait', Empty).until('row', { deadlineMs: 60_000, ready: async () => (ready ? {} : null) }))
  await waiting.engine.workOnce()
  assert.equal((await waiting.engine.operation(waiting.id)).state, 'running')
  ready = true
  await waiting.engine.settle()
  assert.equal((await waiting.engine.operation(waiting.id)).state, 'done')

  const late = await begin(operation('late', Empty).until('row', { deadlineMs: 60_000, ready: async () => null }))
  await late.engine.settle()
  assert.equal((await late.engine.operation(late.id)).error?.code, 'operation.deadline')
  assert.ok((await late.eventTypes()).some((type) => type.startsWith('operation.deadline')))

  const patient = await begin(
    operation('patient', Empty).until('row', {
      deadlineMs: 60_000,
      ready: async (): Promise<{ waited: boolean } | null> => null,
      atDeadline: async () => ({ waited: false }),
    }),
  )
  await patient.engine.settle()
  assert.deepEqual((await patient.engine.operation(patient.id)).outputs, { row: { waited: false } })
})

test('a cancel is read between steps and undoes what was done', async () => {
  const { engine, id, diary, clock } = await begin(
    operation('long', Empty)
      .tx('book', { do: async () => null, undo: async ({ ports }) => void ports.lines.push('unbook') })
      .until('row', { deadlineMs: 60_000, ready: async () => null }),
  )
  await engine.workOnce()
  await database.db.transaction().execute((tx) => requestCancel(tx, clock, id))
  await engine.settle()
  assert.equal((await engine.operation(id)).state, 'cancelled')
  assert.deepEqual(diary.lines, ['unbook'])
})

test('a cancel that comes during the last step undoes nothing', async () => {
  const { engine, id, diary } = await begin(
    operation('almost', Empty).tx('book', {
      do: async ({ operationId }, tx) => {
        await tx.updateTable('operations').set({ cancel_requested_at: new Date() }).where('id', '=', operationId).execute()
        return null
      },
      undo: async ({ ports }) => void ports.lines.push('unbook'),
    }),
  )
  await engine.settle()
  assert.equal((await engine.operation(id)).state, 'done')
  assert.deepEqual(diary.lines, [])
})

test('an undo that keeps failing becomes stuck, and goes on when a person says so', async () => {
  let broken = true
  const { engine, id, clock, eventTypes } = await begin(
    operation('sticky', Empty)
      .ensure('make', {
        do: async () => ({ done: null }),
        undo: async () => {
          if (broken) throw new AutovibeError('substrate.unavailable', 'cannot')
        },
      })
      .tx('fail', {
        do: async () => {
          throw new AutovibeError('internal', 'no')
        },
      }),
  )
  await engine.settle()
  const stuck = await engine.operation(id)
  assert.equal(stuck.state, 'stuck')
  assert.equal(stuck.step_attempts, UNDO_ATTEMPTS_MAX)
  assert.ok((await eventTypes()).some((type) => type.startsWith('operation.stuck')))
  broken = false
  await database.db.transaction().execute((tx) => retryStuck(tx, clock, id))
  await engine.settle()
  assert.equal((await engine.operation(id)).state, 'failed')
  await assert.rejects(
    database.db.transaction().execute((tx) => retryStuck(tx, clock, id)),
    { code: 'conflict.state' },
  )
})

test('an answer to COMMIT that is lost neither skips a step nor records the result of one as that of the next', async () => {
  for (let lostAt = 1; lostAt <= 4; lostAt++) {
    const calls: string[] = []
    const call = (name: string) => async () => (calls.push(name), { done: { from: name } })
    const { engine, id } = await begin(
      operation(`lost-${lostAt}`, Empty)
        .ensure('one', { do: call('one') })
        .tx('two', { do: async () => ({ from: 'two' }) })
        .ensure('three', { do: call('three') })
        .ensure('four', { do: call('four') })
        .tx('five', { do: async () => ({ from: 'five' }) }),
    )
    const lost = engine.loseAnswerOfCommit(lostAt)
    await engine.settle()
    assert.ok(lost(), `the answer ${lostAt} was lost`)
    const { state, outputs } = await engine.operation(id)
    assert.equal(state, 'done', `after answer ${lostAt}`)
    assert.deepEqual(outputs, Object.fromEntries(['one', 'two', 'three', 'four', 'five'].map((name) => [name, { from: name }])))
    assert.deepEqual([...new Set(calls)], ['one', 'three', 'four'])
    const ended = await database.db.selectFrom('events').select('id').where('operation_id', '=', id).where('type', '=', 'operation.finished').execute()
    assert.equal(ended.length, 1)
  }
})
