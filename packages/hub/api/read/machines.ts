/** Machines as the wire shows them: one query for a page, whatever its length. */
import { AutovibeError, isId, type Machine, type MachineId, type MachineQuery, type Page, type SubstrateTier } from '@autovibe/contract'
import type { Database } from '../../database/database.ts'
import { idAfter, toPage } from '../plumbing/pages.ts'

const select = (db: Database) =>
  db
    .selectFrom('machines as m')
    // Both joins follow a unique partial index: at most one open budget of money, at most one exclusive operation under way.
    .leftJoin('budgets as b', (join) =>
      join.onRef('b.scope_id', '=', 'm.id').on('b.scope', '=', 'machine').on('b.resource', '=', 'money').on('b.closed_at', 'is', null),
    )
    .leftJoin('operations as o', (join) => join.onRef('o.machine_id', '=', 'm.id').on('o.exclusive', '=', true).on('o.ended_at', 'is', null))
    .leftJoin('machine_meters as u', 'u.machine_id', 'm.id')
    .select([
      'm.id',
      'm.name',
      'm.project_id',
      'm.state',
      'm.state_reason',
      'm.substrate',
      'm.isolation',
      'm.copy_tier',
      'm.parent_checkpoint_id',
      'm.head_checkpoint_id',
      'm.run_id',
      'm.last_heartbeat_at',
      'm.created_at',
      'm.destroyed_at',
      'm.limits',
      'u.cpu_total_us',
      'u.peak_memory_bytes',
      'u.disk_bytes',
      'u.quality',
      'u.charged_at',
      'b.id as budget_id',
      'o.id as operation_id',
    ])

type Row = Awaited<ReturnType<ReturnType<typeof select>['execute']>>[number]

/** Newest first; destroyed ones only when `all` is set or their state is asked for. */
export async function listMachines(db: Database, query: MachineQuery): Promise<Page<Machine>> {
  const after = idAfter<MachineId>(query.cursor)
  let rows = select(db)
    .orderBy('m.id', 'desc')
    .limit(query.limit + 1)
  if (after !== undefined) rows = rows.where('m.id', '<', after)
  if (!query.all && query.state !== 'destroyed') rows = rows.where('m.destroyed_at', 'is', null)
  if (query.project !== undefined) rows = rows.where('m.project_id', '=', query.project)
  if (query.state !== undefined) rows = rows.where('m.state', '=', query.state)
  return toPage(await rows.execute(), query.limit, toMachine, (row) => row.id)
}

/** By id, or by the name of one that lives; `not_found` when there is none. */
export async function readMachine(db: Database, idOrName: string): Promise<Machine> {
  const query = isId('machine', idOrName)
    ? select(db).where('m.id', '=', idOrName)
    : select(db).where('m.name', '=', idOrName).where('m.destroyed_at', 'is', null)
  const row = await query.executeTakeFirst()
  if (!row)
    throw new AutovibeError('not_found', `There is no machine ${idOrName}.`, {
      fix: 'autovibe ps lists the machines that live, autovibe ps --all those destroyed too.',
    })
  return toMachine(row)
}

/** What a row of machines or checkpoints says about where it was placed; null until it was. */
export function toTier(row: Pick<Row, 'substrate' | 'isolation' | 'copy_tier'>): SubstrateTier | null {
  if (row.substrate === null || row.isolation === null || row.copy_tier === null) return null
  return { substrate: row.substrate, isolation: row.isolation, copy: row.copy_tier }
}

function toMachine(row: Row): Machine {
  return {
    id: row.id,
    name: row.name,
    project_id: row.project_id,
    state: row.state,
    state_reason: row.state_reason,
    tier: toTier(row),
    limits: row.limits,
    use: toUse(row),
    parent_checkpoint_id: row.parent_checkpoint_id,
    head_checkpoint_id: row.head_checkpoint_id,
    run_id: row.run_id,
    budget_id: row.budget_id,
    operation_id: row.operation_id,
    last_heartbeat_at: row.last_heartbeat_at?.toISOString() ?? null,
    created_at: row.created_at.toISOString(),
    destroyed_at: row.destroyed_at?.toISOString() ?? null,
  }
}

function toUse({ cpu_total_us, peak_memory_bytes, disk_bytes, quality, charged_at }: Row): Machine['use'] {
  if (cpu_total_us === null || peak_memory_bytes === null || quality === null || charged_at === null) return null
  return {
    cpu_seconds: Number(cpu_total_us) / 1e6,
    peak_memory_bytes: Number(peak_memory_bytes),
    disk_bytes: disk_bytes === null ? null : Number(disk_bytes),
    quality,
    at: charged_at.toISOString(),
  }
}
