/** The wake-up feed tells who was woken, and that anything may have changed when its connection was lost. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { sql } from 'kysely'
import { freshDatabase } from '../../database/testing.ts'
import { silentLog } from './testing.ts'
import { wake } from './wake.ts'
import { openWakeFeed } from './wake-feed.ts'

/** Longer than the test may take: whoever is not woken fails it. */
const LONG_MS = 600_000
const BOUND = { timeout: 30_000 }

const database = await freshDatabase()
const feed = openWakeFeed(database.address, silentLog)
const heard: string[] = []
let onHeard = (): void => undefined
feed.subscribe((subject) => {
  heard.push(subject)
  onHeard()
})
after(async () => {
  await feed.close()
  await database.close()
})

const hear = (): Promise<void> =>
  new Promise((resolve) => {
    onHeard = resolve
  })
const emit = (subject: string) => database.db.transaction().execute((tx) => wake(tx, subject))

test('whoever waited before the feed listened is told that anything may have changed', BOUND, async () => {
  if (heard.length === 0) await hear()
  assert.equal(heard[0], '')
})

test('a wake-up lets go whoever waits for its subject, and nobody else', BOUND, async () => {
  const stop = new AbortController()
  let released = false
  const other = feed.next('mch_other', LONG_MS, stop.signal).then(() => {
    released = true
  })
  const mine = feed.next('mch_mine', LONG_MS)
  await emit('mch_mine')
  await mine
  assert.deepEqual([released, heard.at(-1)], [false, 'mch_mine'])
  stop.abort()
  await other
})

test('a lost connection comes back and lets everyone look again', BOUND, async () => {
  const waiting = feed.next('mch_mine', LONG_MS)
  const count = heard.length
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'autovibe-wake' and datname = current_database()`.execute(
    database.db,
  )
  await waiting
  assert.equal(heard[count], '')
  const again = feed.next('mch_mine', LONG_MS)
  await emit('mch_mine')
  await again
})

test('a feed that cannot connect closes without waiting for it', BOUND, async () => {
  const nowhere = openWakeFeed({ host: '/nonexistent', port: 5432 }, silentLog)
  await nowhere.close()
})
