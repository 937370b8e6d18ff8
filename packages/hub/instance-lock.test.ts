/** One Hub per data directory and per database, in this process and in another. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { AutovibeError } from '@autovibe/contract'
import { sql } from 'kysely'
import { type FreshDatabase, freshDatabase } from './database/testing.ts'
import { lockDatabase, lockDataDir } from './instance-lock.ts'

const BOUND = { timeout: 60_000 }
const unexpected = {
  onError: (error: Error) => assert.fail(error),
  onTaken: (error: Error) => assert.fail(error),
  patienceMs: 100,
}

test('a second lock on the same folder is refused until the first is given back', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'avlock-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const unlock = await lockDataDir(folder)
  await assert.rejects(lockDataDir(folder), { code: 'hub.already_running' })
  await unlock()
  await (await lockDataDir(folder))()
})

test('a process that is killed leaves no lock behind', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'avlock-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const script = `import { lockDataDir } from ${JSON.stringify(new URL('./instance-lock.ts', import.meta.url).href)}; await lockDataDir(${JSON.stringify(folder)}); console.log('locked'); process.stdin.resume()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  await assert.rejects(lockDataDir(folder), { code: 'hub.already_running' })
  child.kill('SIGKILL')
  await once(child, 'exit')
  await (await lockDataDir(folder))()
})

test('a second Hub on the same database is refused until the first gives the lock back', BOUND, async (t) => {
  const database = await freshDatabase()
  t.after(() => database.close())
  const unlock = await lockDatabase(database.address, unexpected)
  await assert.rejects(lockDatabase(database.address, unexpected), { code: 'hub.database_taken' })
  await unlock()
  await (await lockDatabase(database.address, unexpected))()
})

test('a lock whose connection breaks is told, and taken again', BOUND, async (t) => {
  const database = await freshDatabase()
  t.after(() => database.close())
  const broken = Promise.withResolvers<Error>()
  const unlock = await lockDatabase(database.address, { ...unexpected, onError: broken.resolve })
  t.after(unlock)
  const [holder] = await holders(database, true)
  await breakLock(database)
  await broken.promise
  while ([holder, undefined].includes((await holders(database, true))[0]));
  await assert.rejects(lockDatabase(database.address, unexpected), { code: 'hub.database_taken' })
})

test('whoever finds its lost lock in the hands of another is told so', BOUND, async (t) => {
  const database = await freshDatabase()
  t.after(() => database.close())
  const taken = Promise.withResolvers<AutovibeError>()
  const unlock = await lockDatabase(database.address, { onError: () => undefined, onTaken: taken.resolve, patienceMs: 100 })
  t.after(unlock)
  const other = lockDatabase(database.address, { ...unexpected, patienceMs: 30_000 })
  t.after(async () => (await other)())
  // In line already when the first one's connection breaks.
  while ((await holders(database, false)).length === 0);
  await breakLock(database)
  await other
  assert.equal((await taken.promise).code, 'hub.database_taken')
})

test('a database that cannot be asked is said to be one', BOUND, async () => {
  await assert.rejects(lockDatabase({ host: '/nonexistent', port: 5432 }, unexpected), { code: 'hub.database' })
})

const breakLock = async (database: FreshDatabase): Promise<void> => {
  for (const pid of await holders(database, true)) await sql`select pg_terminate_backend(${pid})`.execute(database.db)
}

/** The server's processes that hold, or wait for, an advisory lock of this database. */
async function holders({ db }: FreshDatabase, granted: boolean): Promise<number[]> {
  const here = sql`(select oid from pg_database where datname = current_database())`
  const { rows } = await sql<{ pid: number }>`select pid from pg_locks where locktype = 'advisory' and granted = ${granted} and database = ${here}`.execute(db)
  return rows.map(({ pid }) => pid)
}
