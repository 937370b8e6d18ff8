/** The settings of a project as the wire shows them: of a key, that it is there and where it may go. */
import { DEFAULT_RETENTION, DEFAULT_TRIGGERS, type ProjectSettings } from '@autovibe/contract'
import type { Database } from '../../database/database.ts'
import { readProject } from './projects.ts'

/** By id or by name; `not_found` when there is no such project. */
export async function readProjectSettings(db: Database, idOrName: string): Promise<ProjectSettings> {
  const { id } = await readProject(db, idOrName)
  const { allowed_models, limits, retention, triggers } = await db
    .selectFrom('projects')
    .select(['allowed_models', 'limits', 'retention', 'triggers'])
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  const prices = await db.selectFrom('project_prices').selectAll().where('project_id', '=', id).orderBy('provider').orderBy('model').execute()
  const keys = await db
    .selectFrom('project_provider_keys')
    .select(['provider', 'origin', 'updated_at'])
    .where('project_id', '=', id)
    .orderBy('provider')
    .execute()
  const egress = await db.selectFrom('project_egress').select(['destination', 'private']).where('project_id', '=', id).execute()
  return {
    project_id: id,
    allowed_models,
    prices: prices.map((price) => ({
      provider: price.provider,
      model: price.model,
      context_window_tokens: Number(price.context_window_tokens),
      input: price.input.toString(),
      cache_read: price.cache_read.toString(),
      cache_write_5m: price.cache_write_5m.toString(),
      cache_write_1h: price.cache_write_1h.toString(),
      output: price.output.toString(),
      updated_at: price.updated_at.toISOString(),
    })),
    keys: keys.map((key) => ({ ...key, updated_at: key.updated_at.toISOString() })),
    limits,
    // By code points: the collation of a database orders otherwise.
    egress: egress.sort((one, other) => (one.destination < other.destination ? -1 : 1)),
    retention: retention ?? DEFAULT_RETENTION,
    triggers: { ...DEFAULT_TRIGGERS, ...triggers },
  }
}
