/** The keys of the API: made from chance, kept as a hash, found by that hash, revoked for good. */
import { createHash } from 'node:crypto'
import type { ApiKeyId, Role } from '@autovibe/contract'
import { AutovibeError } from '@autovibe/contract'
import type { Database, Tx } from '../database/database.ts'
import type { Runtime } from '../runtime.ts'

/** Who asks, as the API knows it once the key was found. */
export interface Identity {
  readonly keyId: ApiKeyId
  readonly name: string
  readonly role: Role
}

const PREFIX = 'avk_'
/** 32 bytes of chance in base64url. */
const FORM = /^avk_[A-Za-z0-9_-]{43}$/
/** How often the time of the last use is written at most, so that a busy key does not cost a write for each request. */
const LAST_USED_EVERY_MS = 60_000

/**
 * What the database keeps of a secret. A plain SHA-256 is enough because the secrets are 256 bits of chance: there is nothing to guess, and a
 * look-up by hash compares nothing whose timing tells about the secret.
 */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/** Makes a key in the caller's transaction; the secret is returned once and kept nowhere. */
export async function createApiKey(tx: Tx, runtime: Runtime, key: { readonly name: string; readonly role: Role }): Promise<{ id: ApiKeyId; secret: string }> {
  const id = runtime.newId('apiKey')
  const secret = PREFIX + runtime.randomBytes(32).toString('base64url')
  await tx
    .insertInto('api_keys')
    .values({ id, name: key.name, role: key.role, secret_hash: hashSecret(secret), created_at: runtime.now(), last_used_at: null, revoked_at: null })
    .execute()
  return { id, secret }
}

/** The identity behind a secret, or undefined for anything that is not a living key (machine tokens among them). */
export async function findIdentity(db: Database, runtime: Runtime, secret: string): Promise<Identity | undefined> {
  if (!FORM.test(secret)) return undefined
  const row = await db
    .selectFrom('api_keys')
    .select(['id', 'name', 'role', 'last_used_at'])
    .where('secret_hash', '=', hashSecret(secret))
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  if (!row) return undefined
  const now = runtime.now()
  if (row.last_used_at === null || now.getTime() - row.last_used_at.getTime() > LAST_USED_EVERY_MS) {
    await db.updateTable('api_keys').set({ last_used_at: now }).where('id', '=', row.id).execute()
  }
  return { keyId: row.id, name: row.name, role: row.role }
}

/** Ends a key; ending it twice is no error. `conflict.state` for the last living admin key, which would lock everyone out. */
export async function revokeApiKey(tx: Tx, runtime: Runtime, id: ApiKeyId): Promise<void> {
  // All living admin keys are locked, in one order, so that two requests cannot each revoke "the other one".
  const admins = await tx.selectFrom('api_keys').select('id').where('role', '=', 'admin').where('revoked_at', 'is', null).orderBy('id').forUpdate().execute()
  if (admins.length === 1 && admins[0]?.id === id) {
    throw new AutovibeError('conflict.state', 'This is the last living admin key; without it nobody could make another.', {
      fix: 'Make another admin key first: POST /v1/api-keys {"name": "…", "role": "admin"}',
    })
  }
  const changed = await tx
    .updateTable('api_keys')
    .set((eb) => ({ revoked_at: eb.fn.coalesce('revoked_at', eb.val(runtime.now())) }))
    .where('id', '=', id)
    .returning('id')
    .executeTakeFirst()
  if (!changed) throw new AutovibeError('not_found', `There is no key ${id}.`, { fix: 'GET /v1/api-keys lists them.' })
}
