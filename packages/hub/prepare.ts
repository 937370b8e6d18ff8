/** What a Hub needs before it can run: its folders, a free port, the first vendor, the key of its owner, its own file. */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, open, readFile, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { AutovibeError } from '@autovibe/contract'
import { dataPaths } from './config.ts'
import type { Database } from './database/database.ts'
import type { Runtime } from './runtime.ts'
import { createApiKey, findIdentity } from './security/keys.ts'

interface Deps {
  readonly db: Database
  readonly runtime: Runtime
}

/** Makes the folders. `request.invalid` for one that cannot be made, `substrate.disk_full`. */
export async function prepareDataDir(dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOSPC')
      throw new AutovibeError('substrate.disk_full', `The disk is full: ${dataDir} cannot be made.`, { fix: 'Free some space, or choose another --data-dir.' })
    throw new AutovibeError('request.invalid', `The data directory ${dataDir} cannot be made: ${error.code}.`, {
      fix: 'Choose another with --data-dir or AUTOVIBE_DATA_DIR.',
    })
  })
  // The database's own user must get through to its folder; everything in it is closed by its own mode.
  if (process.getuid?.() === 0) await chmod(dataDir, 0o711)
  const paths = dataPaths(dataDir)
  await mkdir(paths.sources, { recursive: true, mode: 0o700 })
  await mkdir(paths.agents, { recursive: true, mode: 0o755 })
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
