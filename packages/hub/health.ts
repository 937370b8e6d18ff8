/** How the Hub is: whether its database answers, and what machines stand on. */
import type { Health } from '@autovibe/contract'
import type pg from 'pg'
import type { Substrate } from './substrates/substrate.ts'

/** Asked anew at each call. */
export function healthOf(pool: pg.Pool, substrate: Substrate, version: string, startedAt: Date): () => Promise<Health> {
  return async () => {
    const answered = await pool.query('select 1').then(
      () => true,
      () => false,
    )
    const checks = [
      { name: 'database', ok: answered, detail: answered ? 'answers' : 'does not answer' },
      { name: 'substrate', ok: true, detail: substrate.capabilities().summary },
    ]
    return { status: checks.every(({ ok }) => ok) ? 'ok' : 'degraded', version, started_at: startedAt.toISOString(), checks }
  }
}
