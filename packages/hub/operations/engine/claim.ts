/** Takes an operation that is due, with a lease and a higher fence, and keeps the lease alive. */
import { sql } from 'kysely'
import { type Claim, type EngineContext, leaseFrom, type OperationRow } from './context.ts'
import { RENEW_EVERY_MS } from './limits.ts'

/** The next operation that is due and that nobody holds (or whose holder died); null when there is none. */
export async function claimNext(engine: EngineContext, options: { readonly quickOnly?: boolean } = {}): Promise<{ claim: Claim; row: OperationRow } | null> {
  const now = engine.runtime.now()
  const passedOver = options.quickOnly ? longKinds(engine) : []
  // SKIP LOCKED: several Hubs and workers ask at once and each gets another row.
  const { rows } = await sql<OperationRow>`
    update operations set lease_owner = ${engine.owner}, lease_expires_at = ${leaseFrom(engine)}, fence = fence + 1,
      state = case when state = 'pending' then 'running' else state end
    where id = (
      select id from operations
      where ended_at is null and state <> 'stuck' and wake_at <= ${now} and (lease_expires_at is null or lease_expires_at <= ${now})
        and kind <> all(${passedOver}::text[])
      order by wake_at limit 1 for update skip locked
    )
    returning *`.execute(engine.db)
  const row = rows[0]
  return row ? { claim: { id: row.id, fence: row.fence }, row } : null
}

/** Gives an operation back as it stands, due at once; the call that was broken off does not count as a death. */
export async function handBack(engine: EngineContext, claim: Claim): Promise<void> {
  await engine.db
    .updateTable('operations')
    .set((eb) => ({ lease_owner: null, lease_expires_at: null, step_attempts: eb.fn<number>('greatest', [eb('step_attempts', '-', 1), eb.lit(0)]) }))
    .where('id', '=', claim.id)
    .where('fence', '=', claim.fence)
    .execute()
}

export const longKinds = (engine: EngineContext): string[] => [...engine.registry.values()].filter(({ long }) => long).map(({ kind }) => kind)

/** When the next operation is due, or the lease of a dead Hub ends; null when nothing waits. */
export async function nextDue(engine: EngineContext, options: { readonly quickOnly?: boolean } = {}): Promise<Date | null> {
  const passedOver = options.quickOnly ? longKinds(engine) : []
  const { rows } = await sql<{ at: Date | null }>`
    select min(greatest(wake_at, coalesce(lease_expires_at, wake_at))) as at from operations
    where ended_at is null and state <> 'stuck' and kind <> all(${passedOver}::text[])`.execute(engine.db)
  return rows[0]?.at ?? null
}

/** Renews the lease in the background while `work` runs; its signal is raised when the claim is lost. */
export async function holding<T>(engine: EngineContext, claim: Claim, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const lost = new AbortController()
  const renew = async () => {
    const { numUpdatedRows } = await engine.db
      .updateTable('operations')
      .set({ lease_expires_at: leaseFrom(engine) })
      .where('id', '=', claim.id)
      .where('fence', '=', claim.fence)
      .executeTakeFirst()
    if (numUpdatedRows === 0n) lost.abort(new Error('the operation was claimed by another Hub'))
  }
  const { stopping } = engine
  const timer = setInterval(() => {
    renew().catch((error) => engine.log.warn({ operation: claim.id, err: error }, 'could not renew the lease'))
  }, RENEW_EVERY_MS)
  try {
    return await work(stopping ? AbortSignal.any([lost.signal, stopping]) : lost.signal)
  } finally {
    clearInterval(timer)
  }
}
