/** A Hub's engine at work, asked to begin something at once: by whom it is begun when nobody is free, and what becomes of it at an end. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { systemRuntime } from '../../runtime.ts'
import type { AskAtOnce } from './at-once.ts'
import { registryOf } from './define.ts'
import { WORKERS_MAX } from './limits.ts'
import { database, Empty, operation, until } from './test-diary.ts'
import { silentLog } from './testing.ts'
import { openWakeFeed } from './wake-feed.ts'
import { startWorker } from './worker.ts'

const { db, pool } = database
const feed = openWakeFeed(database.address, silentLog)
after(() => feed.close())

/** Each stands in its call until it is let go. */
function ground() {
  const calls: (() => void)[] = []
  const definition = operation('slow', Empty)
    .tx('book', { do: async () => null })
    .ensure('call', { do: () => new Promise<{ done: null }>((resolve) => calls.push(() => resolve({ done: null }))) })
  const worker = startWorker({ db, runtime: systemRuntime, registry: registryOf([definition]), ports: {}, owner: 'this hub', log: silentLog }, pool, feed)
  const ask = (refuse = false): ReturnType<AskAtOnce> =>
    worker.ask(async (tx, enqueue) => {
      const id = await enqueue(tx, systemRuntime, definition, {}, { projectId: null, machineId: null })
      if (refuse) throw new AutovibeError('conflict.busy', 'Not now.')
      return id
    })
  const unfinished = async () => (await db.selectFrom('operations').select(['id', 'lease_owner']).where('ended_at', 'is', null).execute()).length
  const calling = (count: number) => until(async () => (await unfinished()) >= 0 && calls.length === count)
  const letGo = (): void => {
    for (const call of calls.splice(0)) call()
  }
  return { worker, ask, calling, letGo, unfinished }
}

test('refused requests give back their places, and when all are taken a request waits as any other', async () => {
  const { worker, ask, calling, letGo, unfinished } = ground()
  for (let times = 0; times < WORKERS_MAX * 2; times++) await assert.rejects(ask(true), { code: 'conflict.busy' })
  const begun = []
  for (let times = 0; times < WORKERS_MAX; times++) begun.push(await ask())
  assert.ok(begun.every(({ moved }) => moved !== null))
  assert.equal((await ask()).moved, null)
  await calling(WORKERS_MAX)
  letGo()
  await Promise.all(begun.map(({ moved }) => moved))
  // The last one is taken up by whoever is free now.
  await calling(1)
  letGo()
  await until(async () => (await unfinished()) === 0)
  await worker.stop()
})

test('what is begun when the engine ends is handed back as it stands, for the next one', async () => {
  const { worker, ask } = ground()
  const { moved } = await ask()
  await worker.stop()
  await moved
  const row = await db.selectFrom('operations').selectAll().where('ended_at', 'is', null).executeTakeFirstOrThrow()
  assert.deepEqual([row.state, row.step_index, row.step_attempts, row.lease_owner], ['running', 1, 0, null])
  const next = ground()
  await next.calling(1)
  next.letGo()
  await until(async () => (await next.unfinished()) === 0)
  assert.equal((await next.ask()).moved !== null, true)
  await next.calling(1)
  next.letGo()
  await next.worker.stop()
})
