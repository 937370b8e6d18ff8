/** The master key: from the environment, from a file of the operator's, or from a file of the data directory; during a rotation with the one before it. */
import { randomBytes } from 'node:crypto'
import { chmod, link, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AutovibeError } from '@autovibe/contract'

export interface MasterKeys {
  readonly current: Buffer
  /** What some secrets may still be sealed under. */
  readonly previous: Buffer | null
  /** The current one lies in the data directory, where the Hub may change it. */
  readonly isOwnFile: boolean
}

const KEY_BYTES = 32
const FILE = 'master.key'
const PREVIOUS = 'master.key.previous'
const NEXT = 'master.key.next'

type Environment = Record<string, string | undefined>

/**
 * AUTOVIBE_MASTER_KEY (base64 of 32 bytes) or AUTOVIBE_MASTER_KEY_FILE (a file that holds that, or the 32 bytes) where one is set, else `<dataDir>/master.key`, which is
 * made on first use, readable by its owner alone; two Hubs that start at once end with the same key. The one before it: the same two names with `_PREVIOUS`, else what
 * an unfinished rotation has left. Takes the keys out of the environment: a child process has no business with them.
 */
export async function loadMasterKeys(dataDir: string, env: Environment = process.env): Promise<MasterKeys> {
  const given = await keyOfEnvironment(env, 'AUTOVIBE_MASTER_KEY')
  assertPreviousNotEmpty(env, dataDir)
  const givenPrevious = await keyOfEnvironment(env, 'AUTOVIBE_MASTER_KEY_PREVIOUS')
  const current = given ?? (await readKey(join(dataDir, FILE))) ?? (await makeKey(dataDir))
  const previous = givenPrevious ?? (given ? undefined : await readKey(join(dataDir, PREVIOUS)))
  return { current, previous: previous?.equals(current) ? null : (previous ?? null), isOwnFile: given === undefined }
}

/** The steps by which the file of the data directory gets a new key; after a crash between any two, every key that something may be sealed under is still there. */
export const ROTATION_STEPS: readonly ((dataDir: string) => Promise<void>)[] = [
  async function layNext(dataDir) {
    await writeKey(join(dataDir, NEXT), randomBytes(KEY_BYTES))
  },
  async function keepPrevious(dataDir) {
    // One that is there is the current one under another name: a rotation that has got further is finished, not begun again.
    await rm(join(dataDir, PREVIOUS), { force: true })
    await link(join(dataDir, FILE), join(dataDir, PREVIOUS))
    await syncFolder(dataDir)
  },
  async function putNext(dataDir) {
    await rename(join(dataDir, NEXT), join(dataDir, FILE))
    await syncFolder(dataDir)
  },
]

/**
 * Gives the data directory a new master key and answers it with the one before, under which everything is still sealed. A rotation that was cut off is finished instead of
 * begun again. `request.invalid` when the key comes from the environment, which the Hub cannot change. Only for whoever holds the lock of the data directory.
 */
export async function rotateMasterKey(dataDir: string, keys: MasterKeys): Promise<MasterKeys> {
  if (!keys.isOwnFile) {
    throw new AutovibeError('request.invalid', 'The master key comes from the environment, so the Hub cannot change it.', {
      fix: 'Set the new key as AUTOVIBE_MASTER_KEY and the old one as AUTOVIBE_MASTER_KEY_PREVIOUS, then: autovibe up',
    })
  }
  if (keys.previous) return keys
  for (const step of ROTATION_STEPS) await step(dataDir)
  return loadMasterKeys(dataDir, {})
}

/** Ends a rotation: nothing is sealed under the previous key any more. */
export async function forgetPreviousKey(dataDir: string): Promise<void> {
  for (const name of [PREVIOUS, NEXT]) await rm(join(dataDir, name), { force: true })
  await syncFolder(dataDir)
}

/** Whoever sets it wants a rotation; an empty one comes of a variable that was not set in this shell, and would be a rotation without the key of before. */
function assertPreviousNotEmpty(env: Environment, dataDir: string): void {
  for (const name of ['AUTOVIBE_MASTER_KEY_PREVIOUS', 'AUTOVIBE_MASTER_KEY_PREVIOUS_FILE']) {
    if (env[name] !== '') continue
    throw new AutovibeError('request.invalid', `${name} is set, but empty.`, {
      fix: `Name the key of before, for instance: unset AUTOVIBE_MASTER_KEY_PREVIOUS; export AUTOVIBE_MASTER_KEY_PREVIOUS_FILE=${join(dataDir, FILE)}. Without one: unset ${name}`,
    })
  }
}

async function keyOfEnvironment(env: Environment, name: string): Promise<Buffer | undefined> {
  const file = `${name}_FILE`
  const [text, path] = [env[name], env[file]]
  delete env[name]
  delete env[file]
  if (text && path) throw new AutovibeError('request.invalid', `Both ${name} and ${file} are set.`, { fix: `Leave one of them: unset ${name}` })
  if (text) return checkKey(Buffer.from(text, 'base64'), name)
  if (!path) return undefined
  const key = await readKey(path, false)
  if (key) return key
  throw new AutovibeError('request.invalid', `${file} names ${path}, which is not there.`, { fix: `Put the key there, or: unset ${file}` })
}

async function readKey(path: string, isOwn = true): Promise<Buffer | undefined> {
  try {
    const bytes = await readFile(path)
    if (isOwn) await chmod(path, 0o600)
    return checkKey(bytes.length === KEY_BYTES || isOwn ? bytes : Buffer.from(bytes.toString('latin1'), 'base64'), path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function makeKey(dataDir: string): Promise<Buffer> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const path = join(dataDir, FILE)
  const temporary = `${path}.${randomBytes(8).toString('hex')}`
  const key = randomBytes(KEY_BYTES)
  try {
    await writeKey(temporary, key)
    // A link is there whole or not at all, and does not replace the key of a Hub that was quicker.
    await link(temporary, path)
    await syncFolder(dataDir)
    return key
  } catch (error) {
    const winner = (error as NodeJS.ErrnoException).code === 'EEXIST' ? await readKey(path) : undefined
    if (winner) return winner
    throw error
  } finally {
    await rm(temporary, { force: true })
  }
}

async function writeKey(path: string, key: Buffer): Promise<void> {
  await rm(path, { force: true })
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(key)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** The name of a new file is on the disk only once its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  await folder.sync().finally(() => folder.close())
}

function checkKey(key: Buffer, where: string): Buffer {
  if (key.length === KEY_BYTES) return key
  throw new AutovibeError('hub.master_key', `${where} does not hold a master key: ${key.length} bytes instead of ${KEY_BYTES}.`, {
    fix: 'Bring back the key of before: 32 bytes, in a variable as their base64. For a new data directory make one (openssl rand -base64 32); it cannot read what was sealed before.',
  })
}
