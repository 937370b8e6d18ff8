/** What a Hub needs before it can run: its folders, a free port, the first vendor, the key of its owner, its own file. */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, open, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname } from 'node:path'
import { AutovibeError } from '@autovibe/contract'
import { dataPaths, type HubConfig } from './config.ts'
import type { Database, DatabaseAddress } from './database/database.ts'
import { startEmbeddedPostgres } from './database/embedded.ts'
import type { Ending } from './ending.ts'
import type { Runtime } from './runtime.ts'
import { createApiKey, findIdentity } from './security/keys.ts'

interface Deps {
  readonly db: Database
  readonly runtime: Runtime
}

/** The database that the configuration names, or one of its own, which ends with the Hub. */
export async function openPostgres(config: HubConfig, dir: string, ending: Ending): Promise<DatabaseAddress> {
  if (config.databaseUrl) return { connectionString: config.databaseUrl }
  const server = await startEmbeddedPostgres({ dir })
  ending.add('PostgreSQL', () => server.stop())
  return server.address
}

/** What does not answer at a start is not tried again, as it is while a Hub runs: nobody is left to do it. */
export async function atStart<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof AutovibeError) || error.code !== 'substrate.unavailable') throw error
    throw new AutovibeError(error.code, error.message, {
      cause: error,
      internal: error.internal,
      fix: 'The Hub did not start. Check the network and the state of the server, then start it again: autovibe up',
    })
  }
}

/** Makes the folders. `request.invalid` for one that cannot be made, `substrate.disk_full`. */
export async function prepareDataDir(dataDir: string): Promise<void> {
  const paths = dataPaths(dataDir)
  try {
    await makeFolder(dataDir, 0o700)
    // The database's own user must get through to its folder; everything in it is closed by its own mode.
    if (process.getuid?.() === 0) await chmod(dataDir, 0o711)
    await makeFolder(paths.sources, 0o700)
    await makeFolder(paths.agents, 0o755)
  } catch (cause) {
    const { code, path = dataDir } = cause as NodeJS.ErrnoException
    if (code === 'ENOSPC')
      throw new AutovibeError('substrate.disk_full', `The disk is full: ${path} cannot be made.`, {
        cause,
        fix: 'Free some space, or choose another --data-dir.',
      })
    throw new AutovibeError('request.invalid', `The data directory ${dataDir} cannot be made: ${dirname(path)} does not take it (${code}).`, {
      cause,
      fix: 'Choose a folder that you may write, with --data-dir or AUTOVIBE_DATA_DIR.',
    })
  }
}

/** With those above it, which are not ours alone and so not closed. Not mkdir's own `recursive`, which never ends where a file system takes no folders, as below /proc. */
async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    const above = dirname(path)
    const isThere = await stat(above).then(
      () => true,
      () => false,
    )
    if (code !== 'ENOENT' || above === path || isThere) throw error
    await makeFolder(above, 0o755)
    await makeFolder(path, mode)
  }
}

/** Throws `hub.port_in_use`; asked before anything is started, so that a port in use changes nothing. */
export async function assertPortFree(port: number): Promise<void> {
  if (port === 0) return
  await new Promise<void>((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'EADDRINUSE' ? portInUse(port) : error))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve()))
  })
}

export const portInUse = (port: number): AutovibeError =>
  new AutovibeError('hub.port_in_use', `Port ${port} is in use by another program.`, { fix: 'Choose another: autovibe up --port 7421' })

/** The vendor that is there from the start, still without a key. */
export async function seedProvider({ db, runtime }: Deps): Promise<void> {
  const anthropic = {
    name: 'anthropic',
    wire: 'anthropic' as const,
    base_url: 'https://api.anthropic.com',
    default_model: 'claude-opus-5-5',
    simulated: false,
    key_sealed: null,
    updated_at: runtime.now(),
  }
  await db
    .insertInto('providers')
    .values(anthropic)
    .onConflict((oc) => oc.doNothing())
    .execute()
}

/** The admin key of the embedded default, in a file that only the owner can read; a file whose key the database does not know is replaced. */
export async function writeAdminKey({ db, runtime }: Deps, path: string): Promise<void> {
  const existing = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (existing && (await findIdentity(db, runtime, existing.trim()))) return
  const { secret } = await db.transaction().execute((tx) => createApiKey(tx, runtime, { name: 'embedded', role: 'admin' }))
  await writeAtomically(path, `${secret}\n`)
}

/** Writes a file of the owner alone that is whole or not there, also after a power cut. */
export async function writeAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`
  await writeFile(temporary, text, { mode: 0o600 })
  const file = await open(temporary, 'r')
  await file.sync().finally(() => file.close())
  await rename(temporary, path)
}
