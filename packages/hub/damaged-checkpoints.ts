/** How many checkpoints are damaged, and how many of them somebody relies on: for those that ask whether the Hub is well. */
import type { CheckpointId, Health } from '@autovibe/contract'
import type pg from 'pg'

type Check = Health['checks'][number]

interface Counted {
  readonly damaged: number
  readonly needed: number
  /** The newest that is needed. */
  readonly newest: CheckpointId | null
}

/** Needed: somebody has pinned it, a machine that is not destroyed stands on it, or a fork or rollback that is under way goes to it. */
const COUNT = `
  select count(*)::int as damaged, count(*) filter (where needed)::int as needed, max(id) filter (where needed) as newest
  from (
    select c.id, c.pinned
      or exists (select 1 from machines m where m.head_checkpoint_id = c.id and m.destroyed_at is null)
      or exists (select 1 from operations o where o.ended_at is null and c.id in (o.input->>'from', o.input->>'to')) as needed
    from checkpoints c where c.state = 'corrupt'
  ) each`

/** Not ok while one that something needs is damaged. */
export async function damagedCheckpoints(pool: Pick<pg.Pool, 'query'>): Promise<Check> {
  const check = (ok: boolean, detail: string): Check => ({ name: 'checkpoints', ok, detail })
  const counted = await pool.query<Counted>(COUNT).catch(() => null)
  const [row] = counted?.rows ?? []
  if (row === undefined) return check(false, 'cannot be told while the database does not answer')
  const { damaged, needed, newest } = row
  if (damaged === 0) return check(true, 'none is damaged')
  if (needed === 0) return check(true, `${damaged} damaged, none of them needed`)
  return check(false, `${damaged} damaged, ${needed} of them needed: ${newest}${needed > 1 ? ' and others' : ''}`)
}
