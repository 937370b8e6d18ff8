/** What operations reach the world by; main.ts gives the real ones. */
import type { MachineId, ProviderWire } from '@autovibe/contract'
import type { Imports } from '../checkpoints/archive/imports.ts'
import type { Scratch } from '../checkpoints/scratch.ts'
import type { CheckpointStore } from '../checkpoints/store.ts'
import type { Database } from '../database/database.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Runtime } from '../runtime.ts'
import type { Substrate } from '../substrates/substrate.ts'
import { defineOperations } from './engine/define.ts'

export interface Ports {
  readonly db: Database
  readonly runtime: Runtime
  readonly ledger: Ledger
  readonly store: CheckpointStore
  readonly scratch: Scratch
  readonly imports: Imports
  readonly substrate: Substrate
  /** The machine's own token, the same each time: derived from the master key, so that it is stored nowhere. With the hash of one that was made: that one. */
  readonly tokenFor: (machineId: MachineId, tokenHash?: string | null) => string
  /** Whether the price table of this wire knows this exact model. */
  readonly isModelPriced: (wire: ProviderWire, model: string) => boolean
  /** Whether machines find this agent's tool in the data directory. */
  readonly isAgentInstalled: (agent: string) => Promise<boolean>
}

export const operation = defineOperations<Ports>()
