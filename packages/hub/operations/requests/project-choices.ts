/** What the project of a run has set about the models and providers that the run may use. */
import type { MachineId, ProjectId } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Tx } from '../../database/database.ts'

export interface ProjectChoices {
  /** Null: every model that has a price. */
  readonly allowedModels: readonly string[] | null
  readonly hasOwnKey: boolean
  readonly hasOwnPrice: boolean
}

const NOTHING_SET: ProjectChoices = { allowedModels: null, hasOwnKey: false, hasOwnPrice: false }

/** By the machine where one is named, else by the project; a project that does not exist has set nothing, and is refused by whoever looks for it. */
export async function projectChoices(
  tx: Tx,
  input: { readonly project: string; readonly machine?: string | undefined; readonly provider: string },
  model: string,
): Promise<ProjectChoices> {
  const machine = input.machine ?? ''
  const { rows } = await sql<{ id: ProjectId; allowed: string[] | null; own_key: boolean; own_price: boolean }>`
    select p.id, p.allowed_models as allowed,
      exists (select 1 from project_provider_keys k where k.project_id = p.id and k.provider = ${input.provider}) as own_key,
      exists (select 1 from project_prices s where s.project_id = p.id and s.provider = ${input.provider} and s.model = ${model}) as own_price
    from projects p
    where p.id = coalesce(
      (select m.project_id from machines m where m.destroyed_at is null and (m.name = ${machine} or m.id = ${machine as MachineId}) limit 1),
      (select q.id from projects q where q.name = ${input.project} or q.id = ${input.project} limit 1))`.execute(tx)
  const [row] = rows
  return row ? { allowedModels: row.allowed, hasOwnKey: row.own_key, hasOwnPrice: row.own_price } : NOTHING_SET
}
