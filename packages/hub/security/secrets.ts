/** Secrets at rest: sealed with AES-256-GCM under the Hub's master key, bound to the place that they belong to. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { chmod, link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AutovibeError } from '@autovibe/contract'

export interface Secrets {
  /** The same text sealed twice gives different bytes. `context` says where it belongs; it is not stored, and must be the same to open. */
  seal(text: string, context: string): Buffer
  /** Throws `internal` when the bytes were changed, moved to another context, or sealed under another master key. */
  open(sealed: Buffer, context: string): string
}

/** The context of a provider's key, for whoever seals and opens it. */
export const providerKeyContext = (name: string): string => `provider:${name}`

const VERSION = 1
const IV_BYTES = 12
const TAG_BYTES = 16
const KEY_BYTES = 32
const FILE = 'master.key'

/** Seals and opens under a master key of 32 bytes. Layout: version (1), IV (12), tag (16), ciphertext. */
export function createSecrets(masterKey: Buffer): Secrets {
  if (masterKey.length !== KEY_BYTES) throw new RangeError(`a master key has ${KEY_BYTES} bytes`)
  return {
    seal(text, context) {
      const iv = randomBytes(IV_BYTES)
      const cipher = createCipheriv('aes-256-gcm', masterKey, iv, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(context))
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([Buffer.of(VERSION), iv, cipher.getAuthTag(), body])
    },
    open(sealed, context) {
      if (sealed.length < 1 + IV_BYTES + TAG_BYTES || sealed[0] !== VERSION) throw unreadable('not a secret of this version')
      const iv = sealed.subarray(1, 1 + IV_BYTES)
      const tag = sealed.subarray(1 + IV_BYTES, 1 + IV_BYTES + TAG_BYTES)
      const decipher = createDecipheriv('aes-256-gcm', masterKey, iv, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(context)).setAuthTag(tag)
      try {
        return Buffer.concat([decipher.update(sealed.subarray(1 + IV_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8')
      } catch (cause) {
        throw unreadable(`the tag does not fit, context ${context}`, cause)
      }
    },
  }
}

function unreadable(internal: string, cause?: unknown): AutovibeError {
  return new AutovibeError('internal', 'A stored secret cannot be read: the master key is another one, or the secret was changed.', {
    internal,
    cause,
    fix: 'Restore master.key of this data directory (or AUTOVIBE_MASTER_KEY), or set the secret again.',
  })
}

/**
 * The master key: AUTOVIBE_MASTER_KEY (base64 of 32 bytes) where it is set, else `<dataDir>/master.key`, which is made on first use, readable by its owner alone.
 * Two Hubs that start at once end with the same key.
 */
export async function loadMasterKey(dataDir: string, env: Readonly<Record<string, string | undefined>> = process.env): Promise<Buffer> {
  const fromEnvironment = env['AUTOVIBE_MASTER_KEY']
  if (fromEnvironment !== undefined && fromEnvironment !== '') return checkKey(Buffer.from(fromEnvironment, 'base64'), 'AUTOVIBE_MASTER_KEY')
  const path = join(dataDir, FILE)
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const existing = await readKey(path)
  return existing ?? (await makeKey(dataDir, path))
}

async function readKey(path: string): Promise<Buffer | undefined> {
  try {
    const key = checkKey(await readFile(path), path)
    await chmod(path, 0o600)
    return key
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function makeKey(dataDir: string, path: string): Promise<Buffer> {
  const temporary = `${path}.${randomBytes(8).toString('hex')}`
  const key = randomBytes(KEY_BYTES)
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(key)
      await file.sync()
    } finally {
      await file.close()
    }
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

/** The name of a new file is on the disk only once its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  await folder.sync().finally(() => folder.close())
}

function checkKey(key: Buffer, where: string): Buffer {
  if (key.length === KEY_BYTES) return key
  throw new AutovibeError('internal', `${where} does not hold a master key: ${key.length} bytes instead of ${KEY_BYTES}.`, {
    fix: 'Restore it from your backup. A new one (openssl rand -base64 32) cannot read the secrets sealed before.',
  })
}
