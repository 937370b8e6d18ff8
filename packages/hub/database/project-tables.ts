/** The rows of schema.ts that say what projects may call, pay and reach: providers, and each project's own settings. */
import type { ProjectId, ProviderWire } from '@autovibe/contract'

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
