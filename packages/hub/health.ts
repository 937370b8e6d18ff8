/** How the Hub is: whether its database answers, what machines stand on, and whether what they can go back to is sound. */
import type { Health } from '@autovibe/contract'
import type pg from 'pg'
import { damagedArchives } from './damaged-archives.ts'
import { damagedCheckpoints } from './damaged-checkpoints.ts'
import type { Substrate } from './substrates/substrate.ts'
import { unlistedArchives } from './unlisted-archives.ts'

/** Asked anew at each call. */
export function healthOf(pool: pg.Pool, substrate: Substrate, version: string, startedAt: Date): () => Promise<Health> {
  return async () => {
    const answered = await pool.query('select 1').then(
      () => true,
      () => false,
    )
    const archives = await damagedArchives(pool)
    const unlisted = unlistedArchives(substrate.archives?.unlisted ?? [], Date.now())
    const trouble = substrate.trouble?.() ?? null
    const checks = [
      { name: 'database', ok: answered, detail: answered ? 'answers' : 'does not answer' },
      { name: 'substrate', ok: trouble === null, detail: trouble?.detail ?? substrate.capabilities().summary },
      await damagedCheckpoints(pool),
      ...(archives === null ? [] : [archives]),
      ...(unlisted === null ? [] : [unlisted]),
    ]
    return { status: checks.every(({ ok }) => ok) ? 'ok' : 'degraded', version, started_at: startedAt.toISOString(), checks }
  }
}
