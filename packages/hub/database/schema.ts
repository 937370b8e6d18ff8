/** The rows as Kysely sees them: one interface per table of migrations/. `bigint` columns are `bigint` in code, `timestamptz` is `Date`. */
import type {
  ApiKeyId,
  BudgetId,
  CheckpointId,
  CheckpointState,
  CheckResult,
  CopyTier,
  IsolationTier,
  Json,
  MachineId,
  MachineLimits,
  MachineState,
  ProjectId,
  ProxmoxConfig,
  ReservationId,
  RunId,
  RunState,
  StepOutcome,
  UsageEventId,
} from '@autovibe/contract'
import type { ColumnType, Generated, JSONColumnType } from 'kysely'
import type { ArchiveTables } from './archive-tables.ts'
import type { MachineMetersTable, RunUsesTable } from './meter-tables.ts'
import type { EventsTable, MachineEventStreamsTable, OperationStepsTable, OperationsTable } from './operation-tables.ts'
import type { ProjectEgressTable, ProjectPricesTable, ProjectProviderKeysTable, ProjectsTable, ProvidersTable } from './project-tables.ts'
import type { GateAdmissionsTable, GateTable, ProxmoxNumbersTable, ProxmoxSnapshotsTable, ProxmoxVmsTable } from './proxmox-tables.ts'

export type { EventsTable, MachineEventStreamsTable, OperationStepsTable, OperationsTable }

type JsonColumn<T> = JSONColumnType<T & object, string, string>

export interface SourcesTable {
  sha256: string
  bytes: bigint
  commit: string
  base_commit: string
  branch: string | null
  dirty: boolean
  imported_at: Date
}

export interface MachinesTable {
  id: MachineId
  name: string
  project_id: ProjectId
  state: MachineState
  state_reason: string | null
  substrate: 'local' | 'proxmox' | null
  isolation: IsolationTier | null
  copy_tier: CopyTier | null
  source_sha256: string | null
  parent_checkpoint_id: CheckpointId | null
  head_checkpoint_id: CheckpointId | null
  token_hash: string | null
  allow_unisolated: boolean
  boot_id: string | null
  registered_at: Date | null
  last_heartbeat_at: Date | null
  control: Generated<'idle' | 'go' | 'park' | 'quiesce' | 'cancel'>
  revision: Generated<bigint>
  quiet_revision: bigint | null
  notice: string | null
  run_id: RunId | null
  created_at: Date
  destroyed_at: Date | null
  /** How many more times a Hub may start it by itself. */
  restarts_left: Generated<number>
  /** Null for one from before there were limits. */
  limits: ColumnType<MachineLimits | null, string | null | undefined, string>
}

export interface RunsTable {
  id: RunId
  project_id: ProjectId
  machine_id: MachineId
  prompt: string
  agent: string
  provider: string
  model: string
  check_command: string | null
  state: RunState
  state_reason: string | null
  summary: string | null
  check_result: JsonColumn<CheckResult> | null
  agent_reported_cost: bigint | null
  budget_id: BudgetId | null
  on_limit: 'park' | 'finish-step' | 'wind-down' | null
  hand_back: bigint | null
  winding_down_at: Date | null
  resume: Generated<boolean>
  created_at: Date
  started_at: Date | null
  ended_at: Date | null
  worked_ms: Generated<bigint>
  working_since: Generated<Date | null>
}

export interface StepsTable {
  run_id: RunId
  index: number
  model: string
  message_id: string | null
  text: string
  tools: JsonColumn<{ name: string; summary: string; is_error: boolean; duration_ms: number }[]>
  started_at: Date
  ended_at: Date | null
  outcome: StepOutcome | null
}

export interface CheckpointsTable {
  id: CheckpointId
  project_id: ProjectId
  machine_id: MachineId
  run_id: RunId | null
  parent_id: CheckpointId | null
  trigger: string
  label: string | null
  state: CheckpointState
  state_reason: string | null
  consistency: 'consistent' | 'fuzzy' | null
  snapshot: string | null
  substrate: 'local' | 'proxmox' | null
  isolation: IsolationTier | null
  copy_tier: CopyTier | null
  manifest_sha256: string | null
  files: bigint | null
  bytes: bigint | null
  new_bytes: bigint | null
  step: number | null
  spent: Generated<bigint>
  source_sha256: string | null
  created_at: Date
  verified_at: Date | null
  pinned: Generated<boolean>
  frozen_at: Generated<Date | null>
}

export interface BudgetsTable {
  id: BudgetId
  parent_id: BudgetId | null
  scope: string
  scope_id: string
  resource: string
  limit: bigint
  settled: Generated<bigint>
  reserved: Generated<bigint>
  version: Generated<bigint>
  period: Generated<'total' | 'daily' | 'weekly' | 'monthly'>
  period_ends_at: Generated<Date | null>
  thresholds: Generated<number[]>
  policy: Generated<'park' | 'finish-step' | 'wind-down'>
  share_ppm: Generated<bigint>
  frozen_at: Generated<Date | null>
  created_at: Date
  closed_at: Date | null
}

export interface ReservationsTable {
  id: ReservationId
  budget_id: BudgetId
  budget_ids: BudgetId[]
  project_id: ProjectId | null
  machine_id: MachineId | null
  run_id: RunId | null
  idempotency_key: string
  holder: string
  amount: bigint
  state: 'open' | 'settled' | 'released'
  settled_amount: bigint | null
  lease_expires_at: Date
  created_at: Date
  ended_at: Date | null
}

export interface LedgerEntriesTable {
  seq: Generated<bigint>
  budget_id: BudgetId
  reservation_id: ReservationId | null
  usage_event_id: UsageEventId | null
  kind: 'reserve' | 'settle' | 'release' | 'rollover'
  reserved_delta: bigint
  settled_delta: bigint
  at: Date
}

export interface UsageEventsTable {
  id: UsageEventId
  project_id: ProjectId
  machine_id: MachineId | null
  run_id: RunId | null
  resource: string
  amount: bigint
  quality: 'measured' | 'estimated'
  provider: string | null
  model: string | null
  message_id: string | null
  tokens: JsonColumn<Record<string, string>> | null
  cost: Generated<bigint>
  price_version: string | null
  reservation_id: ReservationId | null
  first_byte_ms: number | null
  total_ms: number | null
  detail: JsonColumn<Record<string, Json>>
  report_key: Generated<string | null>
  at: Date
  summed: Generated<boolean>
}

export interface ApiKeysTable {
  id: ApiKeyId
  name: string
  role: 'user' | 'admin'
  secret_hash: string
  created_at: Date
  last_used_at: Date | null
  revoked_at: Date | null
}

export interface IdempotencyKeysTable {
  api_key_id: ApiKeyId
  key: string
  request_hash: string
  status: number | null
  response: JSONColumnType<Record<string, Json>, string | null, string | null> | null
  created_at: Date
}

export interface AuditLogTable {
  seq: Generated<bigint>
  at: Date
  actor: string
  action: string
  subject: string
  request_id: string | null
  detail: JsonColumn<Record<string, Json>>
}

export interface SubstratesTable {
  name: string
  kind: 'proxmox'
  config: JSONColumnType<ProxmoxConfig, string, string>
  token_sealed: Buffer
  version: Generated<bigint>
  in_use: Generated<boolean>
  serves: Generated<boolean>
  updated_at: Date
}

export interface Schema extends ArchiveTables {
  sources: SourcesTable
  projects: ProjectsTable
  machines: MachinesTable
  machine_meters: MachineMetersTable
  run_uses: RunUsesTable
  runs: RunsTable
  steps: StepsTable
  checkpoints: CheckpointsTable
  budgets: BudgetsTable
  reservations: ReservationsTable
  ledger_entries: LedgerEntriesTable
  usage_events: UsageEventsTable
  operations: OperationsTable
  operation_steps: OperationStepsTable
  events: EventsTable
  machine_event_streams: MachineEventStreamsTable
  providers: ProvidersTable
  project_prices: ProjectPricesTable
  project_provider_keys: ProjectProviderKeysTable
  project_egress: ProjectEgressTable
  api_keys: ApiKeysTable
  idempotency_keys: IdempotencyKeysTable
  audit_log: AuditLogTable
  proxmox_vms: ProxmoxVmsTable
  proxmox_snapshots: ProxmoxSnapshotsTable
  proxmox_numbers: ProxmoxNumbersTable
  substrates: SubstratesTable
  gate: GateTable
  gate_admissions: GateAdmissionsTable
}
