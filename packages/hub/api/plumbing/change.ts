/** Every request that changes something goes through here: the change, its audit row and the answer to its idempotency key are one transaction. */
import { createHash } from 'node:crypto'
import { AutovibeError, type Json, type Problem } from '@autovibe/contract'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { sql } from 'kysely'
import type { Tx } from '../../database/database.ts'
import { recordEvent } from '../../database/events.ts'
import { transactionWithRetry } from '../../database/transaction.ts'
import type { Identity } from '../../security/keys.ts'
import { idempotencyContext } from '../../security/secrets.ts'
import { identityOf } from './auth.ts'
import type { ApiContext } from './deps.ts'
import { translate } from './problems.ts'

export interface Changed<Body> {
  readonly body: Body
  /** What was changed: an id or a name. */
  readonly subject: string
  /** What the audit shall say besides; no secrets. */
  readonly detail?: Record<string, Json>
}

export interface ChangeOptions {
  /** What is done, as the audit names it: `run.create`. */
  readonly action: string
  /** The status of a good answer. */
  readonly status: number
  /** The request is refused without an Idempotency-Key: a repeat would spend money. */
  readonly keyRequired?: boolean
}

/** How long an answer is kept for a repeat. */
const KEPT_MS = 24 * 60 * 60 * 1000
/** Old answers that one new one clears away, so that the table stays as small as a day. */
const CLEARED_AT_ONCE = 20

/**
 * Runs `work` in a transaction and answers with its body. With an Idempotency-Key, a repeat of the same request gets the first answer and changes nothing. An error that the
 * same request would meet again is an answer like any other; one that may pass (5xx, retryable) is not kept. `work` may run several times, after a deadlock, so it has no effect outside its transaction.
 */
export async function change<Body>(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  options: ChangeOptions,
  work: (tx: Tx) => Promise<Changed<Body>>,
): Promise<Body> {
  const identity = identityOf(request)
  const key = readKey(request, options)
  const body = await transactionWithRetry(context.db, async (tx) => {
    const claim = key === undefined ? undefined : await claimKey(context, tx, request, identity, key)
    if (claim?.stored) {
      reply.header('idempotency-replayed', 'true')
      return claim.stored.answer() as Body
    }
    const outcome = claim ? await attempt(tx, () => work(tx)) : { result: await work(tx) }
    if ('error' in outcome) {
      if (outcome.error.retryable) throw outcome.error
      await claim?.store(outcome.error.status, outcome.error.toProblem())
      return outcome
    }
    await audit(context, tx, request, identity, options.action, outcome.result)
    await claim?.store(options.status, outcome.result.body)
    return outcome.result.body
  })
  // The transaction with the stored refusal is committed; only now is it thrown.
  if (isRefusal(body)) throw body.error
  reply.code(options.status)
  return body
}

/** For what is done elsewhere, and not by this request's transaction: that somebody asked for it. */
export const recordAsked = (context: ApiContext, request: FastifyRequest, action: string, asked: Omit<Changed<unknown>, 'body'>): Promise<void> =>
  transactionWithRetry(context.db, (tx) => audit(context, tx, request, identityOf(request), action, { ...asked, body: null }))

interface Refusal {
  readonly error: AutovibeError
}
const isRefusal = (value: unknown): value is Refusal => typeof value === 'object' && value !== null && 'error' in value && value.error instanceof AutovibeError

/** Work that may be refused without the rest of the transaction being lost. What is no refusal (5xx) is thrown. */
export async function attempt<T>(tx: Tx, work: () => Promise<T>): Promise<{ readonly result: T } | Refusal> {
  await sql`savepoint attempt`.execute(tx)
  try {
    const result = await work()
    await sql`release savepoint attempt`.execute(tx)
    return { result }
  } catch (thrown) {
    const error = translate(thrown)
    if (error.status >= 500) throw thrown
    await sql`rollback to savepoint attempt`.execute(tx)
    await sql`release savepoint attempt`.execute(tx)
    return { error }
  }
}

function readKey(request: FastifyRequest, options: ChangeOptions): string | undefined {
  if (request.method !== 'POST') return undefined
  const header = request.headers['idempotency-key']
  if (header === undefined) {
    if (!options.keyRequired) return undefined
    throw new AutovibeError('request.invalid', 'This request starts work that costs money and carries no Idempotency-Key.', {
      errors: [{ path: 'headers.idempotency-key', message: 'is required' }],
      fix: 'Send "Idempotency-Key: <any unique text>", the same one when you repeat the request.',
    })
  }
  if (typeof header === 'string' && /^[\x21-\x7e]{1,200}$/.test(header)) return header
  throw new AutovibeError('request.invalid', 'The Idempotency-Key is not valid.', {
    errors: [{ path: 'headers.idempotency-key', message: 'must be 1 to 200 visible ASCII characters' }],
    fix: 'Use a random text, such as a UUID.',
  })
}

interface Claim {
  readonly stored: { answer(): unknown } | undefined
  store(status: number, body: unknown): Promise<void>
}

/**
 * Takes the key for this transaction. The lock, not a row, says "in flight": a Hub that dies in the middle leaves nothing that would
 * refuse the repeat.
 */
async function claimKey(context: ApiContext, tx: Tx, request: FastifyRequest, identity: Identity, key: string): Promise<Claim> {
  const name = `${identity.keyId}:${key}`
  const lock = await sql<{ taken: boolean }>`select pg_try_advisory_xact_lock(hashtextextended(${name}, 0)) as taken`.execute(tx)
  if (!lock.rows[0]?.taken) {
    throw new AutovibeError('idempotency.in_flight', 'The first request with this Idempotency-Key is still under way.', {
      fix: 'Repeat it in a moment, with the same key.',
    })
  }
  const place = idempotencyContext(identity.keyId, key)
  const hash = createHash('sha256')
    .update(JSON.stringify([request.method, request.url, request.body ?? null]))
    .digest('hex')
  const oldest = new Date(context.runtime.now().getTime() - KEPT_MS)
  const row = await tx
    .selectFrom('idempotency_keys')
    .select(['request_hash', 'status', 'response', 'created_at'])
    .where('api_key_id', '=', identity.keyId)
    .where('key', '=', key)
    .executeTakeFirst()
  if (row && row.created_at >= oldest) {
    if (row.request_hash !== hash) {
      throw new AutovibeError('idempotency.key_reused', 'This Idempotency-Key was used for another request.', { fix: 'Use a new key for a new request.' })
    }
    const { status, response } = row
    return { stored: { answer: () => replay(context, status, response, place) }, store: async () => undefined }
  }
  return {
    stored: undefined,
    async store(status, body) {
      await clearOld(tx, oldest)
      // Sealed, because an answer may hold a secret that is shown once.
      const response = JSON.stringify({ sealed: context.secrets.seal(JSON.stringify(body ?? null), place).toString('base64') })
      const values = { request_hash: hash, status, response, created_at: context.runtime.now() }
      await tx
        .insertInto('idempotency_keys')
        .values({ api_key_id: identity.keyId, key, ...values })
        .onConflict((oc) => oc.columns(['api_key_id', 'key']).doUpdateSet(values))
        .execute()
    },
  }
}

function replay(context: ApiContext, status: number | null, response: Record<string, Json> | null, place: string): unknown {
  const body: unknown = JSON.parse(context.secrets.open(Buffer.from(String(response?.['sealed']), 'base64'), place))
  if ((status ?? 500) >= 400) throw AutovibeError.fromProblem(body as Problem)
  return body ?? undefined
}

async function clearOld(tx: Tx, oldest: Date): Promise<void> {
  const old = tx
    .selectFrom('idempotency_keys')
    .select(['api_key_id', 'key'])
    .where('created_at', '<', oldest)
    .orderBy('created_at')
    .limit(CLEARED_AT_ONCE)
    .forUpdate()
    .skipLocked()
  await tx
    .deleteFrom('idempotency_keys as gone')
    .using(old.as('old'))
    .whereRef('gone.api_key_id', '=', 'old.api_key_id')
    .whereRef('gone.key', '=', 'old.key')
    .execute()
}

async function audit(context: ApiContext, tx: Tx, request: FastifyRequest, identity: Identity, action: string, changed: Changed<unknown>): Promise<void> {
  const detail = changed.detail ?? {}
  await tx
    .insertInto('audit_log')
    .values({ at: context.runtime.now(), actor: identity.keyId, action, subject: changed.subject, request_id: request.id, detail: JSON.stringify(detail) })
    .execute()
  await recordEvent(tx, context.runtime, {
    type: 'audit.recorded',
    data: { actor: identity.keyId, actor_name: identity.name, action, subject: changed.subject, detail },
  })
}
