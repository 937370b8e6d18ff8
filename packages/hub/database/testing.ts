/** Real databases for tests: one embedded server (shared by a whole `npm test`), a migrated template, a fresh copy for each caller. */
import { randomBytes } from 'node:crypto'
import { existsSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { type DatabaseAddress, type OpenDatabase, openDatabase } from './database.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded.ts'
import { migrate } from './migrate.ts'

const TEMPLATE = 'autovibe_template'
/** Where `npm test` says that a server is already there: the folder of its socket. */
const SHARED_ENV = 'AUTOVIBE_TEST_POSTGRES'
const LOCK = 7420_0002

export interface FreshDatabase extends OpenDatabase {
  readonly address: DatabaseAddress
}

/** Starts a server for many test processes; give `env` to them and call `stop` at the end. */
export async function startSharedServer(): Promise<{ env: Record<string, string>; stop(): Promise<void> }> {
  const { server, remove } = await startInTemporaryFolder()
  return { env: { [SHARED_ENV]: String(server.address.host) }, stop: remove }
}

let serverAddress: Promise<DatabaseAddress> | undefined

/** A new, migrated, empty database, dropped when the test process ends. Closing it is up to the caller. */
export async function freshDatabase(): Promise<FreshDatabase> {
  serverAddress ??= findServer()
  const server = await serverAddress
  const database = `test_${randomBytes(8).toString('hex')}`
  await withAdmin(server, (client) => client.query(`create database ${database} template ${TEMPLATE}`))
  const address = { ...server, database }
  return { ...openDatabase(address, { max: 10, onError: () => undefined }), address }
}

async function findServer(): Promise<DatabaseAddress> {
  const shared = process.env[SHARED_ENV]
  let address: DatabaseAddress
  if (shared) {
    address = { host: shared, port: 5432, user: 'autovibe', database: 'postgres' }
  } else {
    const { server, dir } = await startInTemporaryFolder()
    // No hook of the test runner fits: one registered by the first caller would run when that caller's test ends.
    process.once('exit', () => {
      process.kill(server.pid, 'SIGQUIT')
      const cell = new Int32Array(new SharedArrayBuffer(4))
      for (let waits = 0; waits < 200 && existsSync(`/proc/${server.pid}`); waits++) Atomics.wait(cell, 0, 0, 10)
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
    })
    address = server.address
  }
  await prepareTemplate(address)
  return address
}

async function startInTemporaryFolder(): Promise<{ server: EmbeddedPostgres; dir: string; remove(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'avtest-'))
  // Nothing here outlives the tests, so nothing waits for the disk.
  const server = await startEmbeddedPostgres({ dir, settings: { fsync: 'off', synchronous_commit: 'on', full_page_writes: 'off', max_connections: '200' } })
  return {
    server,
    dir,
    remove: async () => {
      await server.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function prepareTemplate(address: DatabaseAddress): Promise<void> {
  await withAdmin(address, async (client) => {
    await client.query('select pg_advisory_lock($1)', [LOCK])
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [TEMPLATE])
    if (rowCount) return
    const building = `${TEMPLATE}_building`
    await client.query(`drop database if exists ${building}`)
    await client.query(`create database ${building}`)
    const open = openDatabase({ ...address, database: building }, { max: 1, onError: () => undefined })
    await migrate(open.pool)
    await open.close()
    await client.query(`alter database ${building} rename to ${TEMPLATE}`)
  })
}

async function withAdmin<T>(address: DatabaseAddress, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ ...address, database: 'postgres' })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
