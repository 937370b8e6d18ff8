/** Substrates as the wire shows them, this host among them: never the secret of a token. */
import { AutovibeError, type Page, ProxmoxConfig, type Substrate } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'
import { nameAfter, toPage } from '../plumbing/pages.ts'

/** How the host itself is called among substrates. */
export const LOCAL = 'local'

const selectSubstrates = (db: Database) => db.selectFrom('substrates').select(['name', 'kind', 'config', 'version', 'in_use', 'serves', 'updated_at'])
type Row = Awaited<ReturnType<ReturnType<typeof selectSubstrates>['execute']>>[number]

/** By name, this host among them. */
export async function listSubstrates(db: Database, query: { limit: number; cursor?: string | undefined }): Promise<Page<Substrate>> {
  const after = nameAfter(query.cursor)
  const rows = await selectSubstrates(db)
    .$if(after !== undefined, (qb) => qb.where('name', '>', after as string))
    .orderBy('name')
    .limit(query.limit + 1)
    .execute()
  const alive = await aliveOn(db)
  const items = rows.map((row) => toSubstrate(row, alive))
  if (after === undefined || LOCAL > after) items.push(await local(db, alive))
  items.sort((left, right) => (left.name < right.name ? -1 : 1))
  return toPage(
    items,
    query.limit,
    (item) => item,
    ({ name }) => name,
  )
}

/** `not_found` when there is none. */
export async function readSubstrate(db: Database, name: string): Promise<Substrate> {
  const alive = await aliveOn(db)
  if (name === LOCAL) return local(db, alive)
  const row = await selectSubstrates(db).where('name', '=', name).executeTakeFirst()
  if (row) return toSubstrate(row, alive)
  throw new AutovibeError('not_found', `There is no substrate ${name}.`, { fix: 'autovibe substrate list' })
}

/** Machines that are not destroyed, by what they are on. */
async function aliveOn(db: Database): Promise<{ readonly local: number; readonly proxmox: number }> {
  const count = (kind: 'local' | 'proxmox') => sql<bigint>`count(*) filter (where substrate = ${kind})`
  const row = await db
    .selectFrom('machines')
    .select([count('local').as('local'), count('proxmox').as('proxmox')])
    .where('state', '<>', 'destroyed')
    .executeTakeFirstOrThrow()
  return { local: Number(row.local), proxmox: Number(row.proxmox) }
}

async function local(db: Database, alive: { readonly local: number }): Promise<Substrate> {
  const chosen = await db
    .selectFrom('substrates')
    .select([sql<boolean>`coalesce(bool_or(in_use), false)`.as('in_use'), sql<boolean>`coalesce(bool_or(serves), false)`.as('serves')])
    .executeTakeFirstOrThrow()
  return {
    name: LOCAL,
    kind: 'local',
    in_use: !chosen.in_use,
    serves: !chosen.serves,
    machines: alive.local,
    proxmox: null,
    version: '0',
    updated_at: null,
  }
}

/** Machines are on the cluster that serves: another one is taken only when none is left. */
const toSubstrate = (row: Row, alive: { readonly proxmox: number }): Substrate => ({
  name: row.name,
  kind: row.kind,
  in_use: row.in_use,
  serves: row.serves,
  machines: row.serves ? alive.proxmox : 0,
  proxmox: ProxmoxConfig.parse(row.config),
  version: String(row.version),
  updated_at: row.updated_at.toISOString(),
})
