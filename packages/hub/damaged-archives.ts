/** How many archives a backup server has found damaged, or are no longer where they were: for those that ask whether the Hub is well. */
import type { Health, MachineArchiveId } from '@autovibe/contract'
import type pg from 'pg'

type Check = Health['checks'][number]

interface Counted {
  readonly stored: number
  readonly damaged: number
  readonly missing: number
  /** The newest of those that are not well. */
  readonly newest: MachineArchiveId | null
}

const COUNT = `
  select count(*)::int as stored, count(*) filter (where verification = 'failed')::int as damaged, count(*) filter (where missing)::int as missing,
    max(id) filter (where verification = 'failed' or missing) as newest
  from machine_archives where state = 'stored'`

/** Missing where there are none at all. */
export async function damagedArchives(pool: Pick<pg.Pool, 'query'>): Promise<Check | null> {
  const counted = await pool.query<Counted>(COUNT).catch(() => null)
  const [row] = counted?.rows ?? []
  const check = (ok: boolean, detail: string): Check => ({ name: 'archives', ok, detail })
  if (row === undefined) return check(false, 'cannot be told while the database does not answer')
  const { stored, damaged, missing, newest } = row
  if (stored === 0) return null
  if (newest === null) return check(true, 'none is damaged')
  const found = [...(damaged > 0 ? [`${damaged} damaged`] : []), ...(missing > 0 ? [`${missing} missing`] : [])]
  return check(false, `${found.join(', ')}, the newest ${newest}`)
}
