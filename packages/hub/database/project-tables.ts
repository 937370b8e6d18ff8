/** The rows of schema.ts that say what projects may call, pay and reach: providers, and each project's own settings. */
import type { MachineLimitsChange, ProjectId, ProviderWire, RetentionRules, TriggerSettings } from '@autovibe/contract'
import type { ColumnType, Generated } from 'kysely'

export interface ProjectsTable {
  id: ProjectId
  name: string
  source_sha256: string | null
  created_at: Date
  /** Null: every model that has a price. */
  allowed_models: Generated<string[] | null>
  /** What is left out is as the host allows. */
  limits: ColumnType<MachineLimitsChange, string | undefined, string>
  /** Null: the default rules. */
  retention: ColumnType<RetentionRules | null, string | null | undefined, string | null>
  /** Null: the default ones. */
  triggers: ColumnType<TriggerSettings | null, string | null | undefined, string | null>
}

export interface ProvidersTable {
  name: string
  wire: ProviderWire
  base_url: string
  default_model: string
  simulated: boolean
  key_sealed: Buffer | null
  updated_at: Date
}

export interface ProjectPricesTable {
  project_id: ProjectId
  provider: string
  model: string
  context_window_tokens: bigint
  input: bigint
  cache_read: bigint
  cache_write_5m: bigint
  cache_write_1h: bigint
  output: bigint
  updated_at: Date
}

export interface ProjectProviderKeysTable {
  project_id: ProjectId
  provider: string
  origin: string
  key_sealed: Buffer
  updated_at: Date
}

export interface ProjectEgressTable {
  project_id: ProjectId
  /** HOST:PORT, canonical. */
  destination: string
  private: boolean
}
