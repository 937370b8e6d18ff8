/** Small things of a project at rest in a store, each bound to its name: a file moved to another name does not open. */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

const SALT_BYTES = 16
const TAG_BYTES = 16
/** Its key is made of a salt of its own and used once. */
const NONCE = Buffer.alloc(12)

const keyOf = (projectKey: Buffer, salt: Buffer): Buffer => Buffer.from(hkdfSync('sha256', projectKey, salt, 'autovibe checkpoint name', 32))

export function sealNamed(projectKey: Buffer, name: string, text: string): Buffer {
  const salt = randomBytes(SALT_BYTES)
  const cipher = createCipheriv('aes-256-gcm', keyOf(projectKey, salt), NONCE).setAAD(Buffer.from(name))
  return Buffer.concat([salt, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
}

/** Null when these are not the bytes that were sealed under this name. */
export function openNamed(projectKey: Buffer, name: string, sealed: Buffer): string | null {
  if (sealed.length < SALT_BYTES + TAG_BYTES) return null
  const end = sealed.length - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', keyOf(projectKey, sealed.subarray(0, SALT_BYTES)), NONCE, { authTagLength: TAG_BYTES })
  decipher.setAAD(Buffer.from(name)).setAuthTag(sealed.subarray(end))
  try {
    return Buffer.concat([decipher.update(sealed.subarray(SALT_BYTES, end)), decipher.final()]).toString('utf8')
  } catch {
    // Other bytes, another name or another key: whoever asked says which file that concerns.
    return null
  }
}
