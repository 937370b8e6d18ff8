/** Operations and the Hubs that carry them: lost leases, deaths, orderly ends, and who may work on what. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { advance } from './advance.ts'
import { claimNext } from './claim.ts'
import { registryOf } from './define.ts'
import { enqueue } from './enqueue.ts'
import { DEATHS_MAX, LEASE_MS } from './limits.ts'
import { assertKnownSteps } from './stuck.ts'
import { begin, database, Empty, operation, until } from './test-diary.ts'

test('a Hub that lost its lease records nothing; the one that took over does', async () => {
  const gate = Promise.withResolvers<void>()
  const entered = Promise.withResolvers<void>()
  let calls = 0
  const { engine, id, clock } = await begin(
    operation('contested', Empty).ensure('call', {
      do: async () => {
        if (++calls === 1) {
          entered.resolve()
          await gate.promise
          return { done: { by: 'first' } }
        }
        return { done: { by: 'second' } }
      },
    }),
  )
  const first = await claimNext(engine.context)
  assert.ok(first)
  const stalled = advance(engine.context, first.claim, first.row)
  await entered.promise
  clock.advance(LEASE_MS + 1)
  await engine.settle()
  gate.resolve()
  await stalled
  assert.deepEqual((await engine.operation(id)).outputs, { call: { by: 'second' } })
})

test('a step that kills its Hub every time is given up in the end', async () => {
  const { engine, id, clock } = await begin(operation('deadly', Empty).ensure('call', { do: () => new Promise<never>(() => undefined) }))
  const buried = new AbortController()
  const lives: Promise<void>[] = []
  for (let death = 0; death < DEATHS_MAX; death++) {
    const claimed = await claimNext(engine.context)
    assert.ok(claimed)
    // Nobody hears of this life again: its lease runs out.
    lives.push(advance({ ...engine.context, stopping: buried.signal }, claimed.claim, claimed.row))
    await until(async () => (await engine.operation(id)).step_attempts > death)
    clock.advance(LEASE_MS + 1)
  }
  await engine.settle()
  assert.equal((await engine.operation(id)).state, 'failed')
  buried.abort()
  await Promise.all(lives)
})

test('a Hub that ends hands back what is under way, and the next one goes on at once', async () => {
  const stopping = new AbortController()
  const entered = Promise.withResolvers<void>()
  let calls = 0
  const { engine, id } = await begin(
    operation('interrupted', Empty).ensure('call', {
      do: ({ signal }) => {
        if (++calls > 1) return Promise.resolve({ done: null })
        entered.resolve()
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      },
    }),
  )
  const claimed = await claimNext(engine.context)
  assert.ok(claimed)
  const working = advance({ ...engine.context, stopping: stopping.signal }, claimed.claim, claimed.row)
  await entered.promise
  stopping.abort()
  await working
  assert.equal((await engine.operation(id)).lease_owner, null)
  await engine.workOnce()
  assert.equal((await engine.operation(id)).state, 'done')
})

test('a quick operation is claimed past the long ones', async () => {
  const long = operation('long-one', Empty, { long: true }).tx('a', { do: async () => null })
  const quick = operation('quick-one', Empty).tx('a', { do: async () => null })
  const { engine, clock } = await begin(long)
  const context = { ...engine.context, registry: registryOf([long, quick]) }
  assert.equal(await claimNext(context, { quickOnly: true }), null)
  const id = await database.db.transaction().execute((tx) => enqueue(tx, clock, quick, {}, { projectId: null, machineId: null }))
  assert.equal((await claimNext(context, { quickOnly: true }))?.claim.id, id)
})

test('two exclusive operations never share a machine', async () => {
  const { clock } = await begin(operation('x', Empty).tx('a', { do: async () => null }))
  const runtime = clock
  const projectId = runtime.newId('project')
  const machineId = runtime.newId('machine')
  await database.db
    .insertInto('projects')
    .values({ id: projectId, name: `p${Date.now()}`, source_sha256: null, created_at: runtime.now() })
    .execute()
  await database.pool.query('insert into machines (id, name, project_id, state, created_at) values ($1, $2, $3, $4, now())', [
    machineId,
    'm-exclusive',
    projectId,
    'ready',
  ])
  const definition = operation('y', Empty).tx('a', { do: async () => null })
  const attempts = await Promise.allSettled(
    Array.from({ length: 8 }, () => database.db.transaction().execute((tx) => enqueue(tx, clock, definition, {}, { projectId, machineId }))),
  )
  assert.equal(attempts.filter(({ status }) => status === 'fulfilled').length, 1)
  for (const attempt of attempts) if (attempt.status === 'rejected') assert.equal(attempt.reason.code, 'conflict.busy')
})

test('a start is refused while an unfinished operation names a step that is not known', async () => {
  const { engine } = await begin(operation('old', Empty).until('gone-step', { deadlineMs: 60_000, ready: async () => null }))
  await engine.workOnce()
  await assertKnownSteps(database.db, engine.context.registry)
  await assert.rejects(assertKnownSteps(database.db, registryOf([operation('old', Empty).tx('new-step', { do: async () => null })])), {
    code: 'hub.data_version',
  })
})
