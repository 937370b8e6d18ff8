/** How the Hub is: whether its database answers, what machines stand on, and the room that is left on the disk. */
import { statfs } from 'node:fs/promises'
import type { Health } from '@autovibe/contract'
import type { Room } from '@autovibe/core/limits/verdict.ts'
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

/** What is left of the disk; some file systems make room for files as they go, and count none. */
export async function roomOn(folder: string): Promise<Room> {
  const { bavail, blocks, bsize, files, ffree } = await statfs(folder)
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize, freeFiles: files === 0 ? null : ffree }
}
