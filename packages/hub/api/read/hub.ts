/** Providers and API keys as the wire shows them: never their secrets. */
import { type ApiKey, type ApiKeyId, AutovibeError, type Page, type Provider } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'
import { idAfter, nameAfter, toPage } from '../plumbing/pages.ts'

const selectProviders = (db: Database) =>
  db
    .selectFrom('providers')
    .select(['name', 'wire', 'base_url', 'default_model', 'simulated', 'updated_at', sql<boolean>`key_sealed is not null`.as('has_key')])

type ProviderRow = Awaited<ReturnType<ReturnType<typeof selectProviders>['execute']>>[number]

/** By name. */
export async function listProviders(db: Database, query: { limit: number; cursor?: string | undefined }): Promise<Page<Provider>> {
  const after = nameAfter(query.cursor)
  const rows = await selectProviders(db)
    .$if(after !== undefined, (qb) => qb.where('name', '>', after as string))
    .orderBy('name')
    .limit(query.limit + 1)
    .execute()
  return toPage(rows, query.limit, toProvider, (row) => row.name)
}

/** `not_found` when there is none. */
export async function readProvider(db: Database, name: string): Promise<Provider> {
  const row = await selectProviders(db).where('name', '=', name).executeTakeFirst()
  if (!row) throw new AutovibeError('not_found', `There is no provider ${name}.`, { fix: `PUT /v1/providers/${name} makes it.` })
  return toProvider(row)
}

const toProvider = (row: ProviderRow): Provider => ({ ...row, updated_at: row.updated_at.toISOString() })

const selectKeys = (db: Database) => db.selectFrom('api_keys').select(['id', 'name', 'role', 'created_at', 'last_used_at', 'revoked_at'])

type KeyRow = Awaited<ReturnType<ReturnType<typeof selectKeys>['execute']>>[number]

/** Newest first, revoked ones too. */
export async function listApiKeys(db: Database, query: { limit: number; cursor?: string | undefined }): Promise<Page<ApiKey>> {
  const after = idAfter<ApiKeyId>(query.cursor)
  const rows = await selectKeys(db)
    .$if(after !== undefined, (qb) => qb.where('id', '<', after as ApiKeyId))
    .orderBy('id', 'desc')
    .limit(query.limit + 1)
    .execute()
  return toPage(rows, query.limit, toApiKey, (row) => row.id)
}

/** `not_found` when there is none. */
export async function readApiKey(db: Database, id: ApiKeyId): Promise<ApiKey> {
  const row = await selectKeys(db).where('id', '=', id).executeTakeFirst()
  if (!row) throw new AutovibeError('not_found', `There is no key ${id}.`, { fix: 'GET /v1/api-keys lists them.' })
  return toApiKey(row)
}

const toApiKey = (row: KeyRow): ApiKey => ({
  ...row,
  created_at: row.created_at.toISOString(),
  last_used_at: row.last_used_at?.toISOString() ?? null,
  revoked_at: row.revoked_at?.toISOString() ?? null,
})
