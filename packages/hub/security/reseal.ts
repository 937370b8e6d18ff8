/** Seals again what is not sealed under the current master key, and then lets go of the previous one. */
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { Database, Tx } from '../database/database.ts'
import { assertKeyFits, fitOfKeys, type SettledKeys } from './key-fit.ts'
import { forgetPreviousKey, type MasterKeys } from './master-key.ts'
import { GATE_KEY_CONTEXT, idempotencyContext, projectKeyContext, providerKeyContext, type Secrets, substrateTokenContext } from './secrets.ts'

export interface Resealed {
  readonly resealed: number
  /** Sealed under a key that nobody has any more; they are left as they are. */
  readonly unreadable: number
}

/** Answers are sealed one day long; so many are looked at together. */
const BATCH = 500

/** Every place where a sealed secret stands: whoever adds one adds it here. */
export const SEALED_COLUMNS = [
  'gate.key_sealed',
  'idempotency_keys.response',
  'project_provider_keys.key_sealed',
  'providers.key_sealed',
  'substrates.token_sealed',
] as const

/** Seals everything under the current key that is not, in the caller's transaction: afterwards all of it is, or, when that does not commit, none. */
export async function resealSecrets(tx: Tx, secrets: Secrets): Promise<Resealed> {
  let [resealed, unreadable] = [0, 0]
  const again = async (sealed: Buffer, context: string, store: (sealed: Buffer) => Promise<unknown>): Promise<void> => {
    const text = tryToOpen(secrets, sealed, context)
    if (text === null) unreadable++
    else {
      await store(secrets.seal(text, context))
      resealed++
    }
  }
  const head = secrets.currentHead
  const isOldIn = (column: string) => sql<boolean>`substring(${sql.ref(column)} from 1 for ${sql.lit(head.length)}) <> ${head}`
  const isOld = isOldIn('key_sealed')

  for (const { name, key_sealed } of await tx.selectFrom('providers').select(['name', 'key_sealed']).where(isOld).forUpdate().execute()) {
    if (key_sealed === null) continue
    await again(key_sealed, providerKeyContext(name), (key) => tx.updateTable('providers').set({ key_sealed: key }).where('name', '=', name).execute())
  }
  for (const row of await tx.selectFrom('project_provider_keys').selectAll().where(isOld).forUpdate().execute()) {
    await again(row.key_sealed, projectKeyContext(row.project_id, row.provider, row.origin), (key_sealed) =>
      tx.updateTable('project_provider_keys').set({ key_sealed }).where('project_id', '=', row.project_id).where('provider', '=', row.provider).execute(),
    )
  }
  for (const { name, token_sealed } of await tx
    .selectFrom('substrates')
    .select(['name', 'token_sealed'])
    .where(isOldIn('token_sealed'))
    .forUpdate()
    .execute()) {
    await again(token_sealed, substrateTokenContext(name), (token) =>
      tx.updateTable('substrates').set({ token_sealed: token }).where('name', '=', name).execute(),
    )
  }
  for (const { key_sealed } of await tx.selectFrom('gate').select('key_sealed').where(isOld).forUpdate().execute())
    await again(key_sealed, GATE_KEY_CONTEXT, (key) => tx.updateTable('gate').set({ key_sealed: key }).execute())
  for await (const { api_key_id, key, response } of sealedAnswers(tx, head)) {
    const sealed = Buffer.from(String(response?.['sealed']), 'base64')
    await again(sealed, idempotencyContext(api_key_id, key), (answer) =>
      tx
        .updateTable('idempotency_keys')
        .set({ response: JSON.stringify({ sealed: answer.toString('base64') }) })
        .where('api_key_id', '=', api_key_id)
        .where('key', '=', key)
        .execute(),
    )
  }
  return { resealed, unreadable }
}

/**
 * At the start of a Hub, before anybody seals or opens: everything under the current key, then the previous one is forgotten unless a machine is still made by it. `hub.master_key`,
 * and nothing is changed, when they open nothing of what there is.
 */
export async function settleMasterKeys(
  options: {
    readonly db: Database
    readonly secrets: Secrets
    readonly keys: MasterKeys
    readonly dataDir: string
    /** Where the projects' keys lie. */
    readonly store: { rewrapKeys(): Promise<{ readonly rewrapped: number; readonly unreadable: number }> }
  },
  logger: Pick<Logger, 'info' | 'warn'>,
): Promise<SettledKeys> {
  const { db, secrets, keys, dataDir, store } = options
  assertKeyFits(await fitOfKeys(db, secrets), keys)
  // Before the previous key is forgotten, which opens those that were not sealed again yet.
  const projectKeys = await store.rewrapKeys()
  const columns = await db.transaction().execute((tx) => resealSecrets(tx, secrets))
  const [resealed, unreadable] = [columns.resealed + projectKeys.rewrapped, columns.unreadable + projectKeys.unreadable]
  if (resealed > 0) logger.info({ resealed }, 'secrets were sealed again under the current master key')
  if (unreadable > 0) logger.warn({ unreadable }, 'stored secrets cannot be read with the master key; restore it, or set them again')
  const settled = { resealed, wasRotated: keys.previous !== null, unreadableInStore: projectKeys.unreadable }
  if (!keys.previous) return settled
  if (!keys.isOwnFile) {
    // Whoever takes it away while something does not open has one key less to look with.
    if (unreadable === 0) logger.info('nothing is sealed under the previous master key any more; AUTOVIBE_MASTER_KEY_PREVIOUS may be taken away')
  } else if (await isAnyMachineBeingMade(db)) logger.info('a machine is still being made by the previous master key, which is kept until the next start')
  else await forgetPreviousKey(dataDir)
  return settled
}

async function isAnyMachineBeingMade(db: Database): Promise<boolean> {
  const machine = await db.selectFrom('machines').select('id').where('state', 'in', ['requested', 'provisioning']).limit(1).executeTakeFirst()
  return machine !== undefined
}

async function* sealedAnswers(tx: Tx, head: Buffer) {
  // Twelve letters of base64 are nine bytes, which is the head.
  const headText = head.toString('base64')
  for (let [keyId, key] = ['', '']; ; ) {
    const rows = await tx
      .selectFrom('idempotency_keys')
      .select(['api_key_id', 'key', 'response'])
      .where(sql<boolean>`left(response ->> 'sealed', ${sql.lit(headText.length)}) <> ${headText}`)
      .where(sql<boolean>`(api_key_id, key) > (${keyId}, ${key})`)
      .orderBy('api_key_id')
      .orderBy('key')
      .limit(BATCH)
      .forUpdate()
      .execute()
    yield* rows
    const last = rows.at(-1)
    if (!last || rows.length < BATCH) return
    keyId = last.api_key_id
    key = last.key
  }
}

function tryToOpen(secrets: Secrets, sealed: Buffer, context: string): string | null {
  try {
    return secrets.open(sealed, context)
  } catch {
    // Counted and told by the caller; the secret stays as it is, should its key be found again.
    return null
  }
}
