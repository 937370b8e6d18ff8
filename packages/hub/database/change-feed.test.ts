/** The change feed wakes whoever waits, and goes on when its connection is lost. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { systemRuntime } from '../runtime.ts'
import { openChangeFeed } from './change-feed.ts'
import { recordEvent } from './events.ts'
import { freshDatabase } from './testing.ts'

const database = await freshDatabase()
const errors: Error[] = []
const feed = await openChangeFeed(database.address, { onError: (error) => errors.push(error) })
after(async () => {
  await feed.close()
  await database.close()
})

const never = new AbortController().signal
const emit = () => database.db.transaction().execute((tx) => recordEvent(tx, systemRuntime, { type: 'run.message' }))

test('a commit wakes everyone who waits', async () => {
  const waiting = Promise.all([feed.next(never), feed.next(never), feed.next(never)])
  await emit()
  await waiting
})

test('someone whose signal is aborted waits no longer', async () => {
  await feed.next(AbortSignal.abort())
  const stop = new AbortController()
  const waiting = feed.next(stop.signal)
  stop.abort()
  await waiting
})

test('a lost connection is told, replaced, and nothing that was committed meanwhile is slept through', async () => {
  const waiting = feed.next(never)
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'autovibe-hub-events' and datname = current_database()`.execute(
    database.db,
  )
  await emit()
  await waiting
  assert.ok(errors.length > 0)
  const { rows } = await sql<{
    n: bigint
  }>`select count(*) as n from pg_stat_activity where application_name = 'autovibe-hub-events' and datname = current_database()`.execute(database.db)
  assert.ok((rows[0]?.n ?? 0n) <= 1n)
  const again = feed.next(never)
  await emit()
  await again
})

test('closing lets everyone go', async () => {
  const own = await openChangeFeed(database.address, { onError: () => undefined })
  const waiting = own.next(never)
  await own.close()
  await waiting
  await own.next(never)
})
