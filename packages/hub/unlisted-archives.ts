/** Storages of archives that do not show what is on them: what is told of those archives is as old as the last look. */
import type { Health } from '@autovibe/contract'
import type { UnlistedStorage } from './substrates/archives.ts'

type Check = Health['checks'][number]

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** Null where all could be listed. */
export function unlistedArchives(unlisted: readonly UnlistedStorage[], nowMs: number): Check | null {
  if (unlisted.length === 0) return null
  const detail = unlisted.map(({ storage, listedAt, reason }) => `${storage} cannot be listed, ${lastLook(listedAt, nowMs)}: ${reason}`).join('; ')
  return { name: 'archive storages', ok: false, detail }
}

function lastLook(listedAt: Date | null, nowMs: number): string {
  if (listedAt === null) return 'and never was'
  const agoMs = Math.max(0, nowMs - listedAt.getTime())
  const ago = agoMs < 2 * HOUR_MS ? `${Math.floor(agoMs / MINUTE_MS)} min` : `${Math.floor(agoMs / HOUR_MS)} h`
  return `last looked at ${ago} ago`
}
