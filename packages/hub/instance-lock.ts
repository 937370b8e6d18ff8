/** One Hub per data directory and per database: both locks are taken back by the kernel or the server when their process ends, however it ends. */
import { createHash } from 'node:crypto'
import { realpath, rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { AutovibeError } from '@autovibe/contract'
import type { DatabaseAddress } from './database/database.ts'
import { keepConnection } from './database/kept-connection.ts'

/** Any number, the same in every Hub, other than that of the migrations. */
const DATABASE_LOCK = 7420_0003
const PATIENCE_MS = 5_000
/** How soon the server takes a host that vanished for gone: 10 s + 3 × 5 s. */
const KEEPALIVES = 'set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3'
const LOCK_NOT_AVAILABLE = '55P03'

/** Takes the lock or throws `hub.already_running`; the answer gives it back. */
export async function lockDataDir(dataDir: string): Promise<() => Promise<void>> {
  const address = await lockAddress(dataDir)
  const server = createServer((socket) => socket.destroy())
  try {
    await listen(server, address)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new AutovibeError('hub.already_running', `A Hub already runs on ${dataDir}.`, { fix: 'autovibe ps shows what it does; autovibe down ends it.' })
  }
  server.unref()
  return () => new Promise((resolve) => server.close(() => resolve()))
}

export interface DatabaseLockOptions {
  /** The connection that holds the lock broke; the lock is being taken again. */
  readonly onError: (error: Error) => void
  /** Another Hub has the lock now: this one must end without touching a row. Called at most once. */
  readonly onTaken: (error: AutovibeError) => void
  /** How long to wait for the lock; by default as long as a server may need to notice that a Hub was killed just now. */
  readonly patienceMs?: number
}

/**
 * Takes the lock of the database or throws `hub.database_taken` (`hub.database` when it cannot be asked); the answer gives it back. Rows do not name their Hub,
 * so a second one would take the machines of the first for nobody's and destroy them.
 */
export async function lockDatabase(address: DatabaseAddress, options: DatabaseLockOptions): Promise<() => Promise<void>> {
  let held = false
  let taken = false
  const kept = keepConnection(address, {
    name: 'autovibe-hub-lock',
    async setUp(client) {
      await client.query(`${KEEPALIVES}; set lock_timeout = ${options.patienceMs ?? PATIENCE_MS}`)
      await client.query('select pg_advisory_lock($1)', [DATABASE_LOCK]).catch((cause: { code?: string }) => {
        throw cause.code === LOCK_NOT_AVAILABLE ? otherHub(cause) : cause
      })
    },
    onError(error) {
      if (!held || taken) return
      if (!(error instanceof AutovibeError)) return options.onError(error)
      taken = true
      options.onTaken(error)
    },
  })
  try {
    await kept.ready
  } catch (cause) {
    await kept.close()
    if (cause instanceof AutovibeError) throw cause
    throw new AutovibeError('hub.database', `The database does not answer: ${(cause as Error).message}`, { cause, fix: 'Check the server, and DATABASE_URL.' })
  }
  held = true
  return () => kept.close()
}

const otherHub = (cause: unknown): AutovibeError =>
  new AutovibeError('hub.database_taken', 'Another Hub already runs on this database.', {
    fix: 'End it first (autovibe down, where it runs), or give this one a DATABASE_URL of its own.',
    cause,
  })

/** Linux has names that are no files and vanish with their process; elsewhere a socket file that nobody answers on is taken away. */
async function lockAddress(dataDir: string): Promise<string> {
  const path = await realpath(dataDir)
  if (process.platform === 'linux') return `\0autovibe-hub-${createHash('sha256').update(path).digest('hex').slice(0, 40)}`
  const socket = join(path, 'hub.lock')
  if (!(await answers(socket))) await rm(socket, { force: true })
  return socket
}

function listen(server: Server, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(address, () => resolve())
  })
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
