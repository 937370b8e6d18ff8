/** Secrets at rest: sealed with AES-256-GCM under the Hub's master key, bound to the place that they belong to. */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { AutovibeError, type ProjectId } from '@autovibe/contract'

export interface Secrets {
  /** The same text sealed twice gives different bytes. `context` says where it belongs; it is not stored, and must be the same to open. */
  seal(text: string, context: string): Buffer
  /** Throws `internal` when the bytes were changed, moved to another context, or sealed under a master key that is not known. */
  open(sealed: Buffer, context: string): string
  /** What everything begins with that is sealed under the current key; whatever begins otherwise is to be sealed again. */
  readonly currentHead: Buffer
}

/** The context of a provider's key, for whoever seals and opens it. */
export const providerKeyContext = (name: string): string => `provider:${name}`

/** The context of a project's own key: it opens for this project, this provider and this origin alone. */
export const projectKeyContext = (projectId: ProjectId, provider: string, origin: string): string =>
  `project:${projectId} provider:${provider} origin:${origin}`

/** The context of a substrate's token. */
export const substrateTokenContext = (name: string): string => `substrate:${name}`

/** The context of the private key of the gate for machines. */
export const GATE_KEY_CONTEXT = 'gate'

/** The same for whoever keeps it and needs to know nothing of contexts. */
export const gateKeySealing = (secrets: Secrets) => ({
  seal: (key: string): Buffer => secrets.seal(key, GATE_KEY_CONTEXT),
  open: (sealed: Buffer): string => secrets.open(sealed, GATE_KEY_CONTEXT),
})

/** The context of an answer that is kept for a repeat. */
export const idempotencyContext = (apiKeyId: string, key: string): string => `idempotency:${apiKeyId}:${key}`

const VERSION = 2
/** The form without the id of its key. */
const VERSION_WITHOUT_ID = 1
const ID_BYTES = 8
const IV_BYTES = 12
const TAG_BYTES = 16
const KEY_BYTES = 32

/**
 * Seals under the current master key of 32 bytes; opens also what was sealed under the previous one. Layout: version (1), id of the key (8), IV (12), tag (16), ciphertext;
 * the head is authenticated with the context.
 */
export function createSecrets(current: Buffer, previous: Buffer | null = null): Secrets {
  const keys = (previous ? [current, previous] : [current]).map((key) => {
    if (key.length !== KEY_BYTES) throw new RangeError(`a master key has ${KEY_BYTES} bytes`)
    return { key, head: Buffer.concat([Buffer.of(VERSION), createHmac('sha256', key).update('master key id').digest().subarray(0, ID_BYTES)]) }
  })
  const currentHead = keys[0]?.head ?? Buffer.alloc(0)
  return {
    currentHead,
    seal(text, context) {
      const iv = randomBytes(IV_BYTES)
      const cipher = createCipheriv('aes-256-gcm', current, iv, { authTagLength: TAG_BYTES }).setAAD(Buffer.concat([currentHead, Buffer.from(context)]))
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([currentHead, iv, cipher.getAuthTag(), body])
    },
    open(sealed, context) {
      if (sealed[0] === VERSION_WITHOUT_ID) return openFirst(keys, sealed.subarray(1), context)
      const known = keys.find(({ head }) => head.equals(sealed.subarray(0, head.length)))
      if (!known) throw unreadable('not a secret of this version, or sealed under a key that is not known')
      return openWith(known.key, sealed.subarray(known.head.length), Buffer.concat([known.head, Buffer.from(context)]), context)
    },
  }
}

/** Of the old form: the key that fits is found by trying. */
function openFirst(keys: readonly { readonly key: Buffer }[], rest: Buffer, context: string): string {
  let failure: unknown
  for (const { key } of keys) {
    try {
      return openWith(key, rest, Buffer.from(context), context)
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

function openWith(key: Buffer, rest: Buffer, authenticated: Buffer, context: string): string {
  if (rest.length < IV_BYTES + TAG_BYTES) throw unreadable('too short for a secret')
  const iv = rest.subarray(0, IV_BYTES)
  const tag = rest.subarray(IV_BYTES, IV_BYTES + TAG_BYTES)
  const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES }).setAAD(authenticated).setAuthTag(tag)
  try {
    return Buffer.concat([decipher.update(rest.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8')
  } catch (cause) {
    throw unreadable(`the tag does not fit, context ${context}`, cause)
  }
}

function unreadable(internal: string, cause?: unknown): AutovibeError {
  return new AutovibeError('internal', 'A stored secret cannot be read: the master key is another one, or the secret was changed.', {
    internal,
    cause,
    fix: 'Restore master.key of this data directory (or AUTOVIBE_MASTER_KEY), or set the secret again.',
  })
}
