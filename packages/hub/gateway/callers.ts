/** Who calls, for which run, on which money, and where the call goes: remembered until the database says that something about it has changed. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { AutovibeError, type BudgetId, type MachineId, type ProjectId, type Resource, type RunId } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database, DatabaseAddress } from '../database/database.ts'
import { openListener } from '../database/listener.ts'
import { findNarrowestBudgets } from '../ledger/narrowest.ts'
import { projectKeyContext, providerKeyContext } from '../security/secrets.ts'
import { type CallerSettings, type PriceRow, settingsOf } from './project-settings.ts'
import { targetOf, type UpstreamTarget } from './upstream.ts'

export interface Caller {
  readonly subject: { readonly projectId: ProjectId; readonly machineId: MachineId; readonly runId: RunId }
  readonly budgetId: BudgetId
  /** It is told to close its work, and is paid from what was set aside for that. */
  readonly isWindingDown: boolean
  /** The narrowest open budget of each other resource that is capped, but bytes of egress, of which a call takes none; as a rule none is. */
  readonly caps: ReadonlyMap<Resource, BudgetId>
  readonly provider: string
  readonly wire: string
  readonly target: UpstreamTarget
  readonly settings: CallerSettings
}

export interface Secrets {
  /** Opens what was sealed for this context; throws when it was not. */
  open(sealed: Buffer, context: string): string
}

export interface Callers {
  /**
   * The caller behind a request of this machine. `auth.missing` unless it carries the machine's token (as `x-api-key` or as a bearer), `conflict.state`
   * without an open run, `provider.unknown`, `provider.key_missing`, `hub.master_key` when the key does not open.
   */
  find(machineId: MachineId, req: IncomingMessage): Promise<Caller>
  close(): Promise<void>
}

interface Row {
  readonly token_hash: string | null
  readonly run_id: RunId | null
  readonly project_id: ProjectId | null
  readonly budget_id: BudgetId | null
  readonly is_winding_down: boolean
  readonly run_provider: string | null
  readonly provider: string | null
  readonly wire: string | null
  readonly base_url: string | null
  readonly key_sealed: Buffer | null
  readonly own_key_sealed: Buffer | null
  readonly own_key_origin: string | null
  readonly allowed_models: string[] | null
  readonly own_prices: PriceRow[] | null
}

interface Known {
  /** As it was found to be the machine's. */
  readonly token: Buffer
  readonly caller: Caller
}

/** See the triggers `callers_notify` of the schema; the payload is a machine, or nothing when all may have changed. */
const CHANNEL = 'autovibe_callers'
const MAX_KNOWN = 10_000

/** Opens the memory; while the database cannot tell of changes, every call reads afresh. That a run or machine has ended is also, and first, in its closed budget. */
export function openCallers(options: { db: Database; address: DatabaseAddress; secrets: Secrets; onError: (error: Error) => void }): Callers {
  const { db, address, secrets, onError } = options
  const known = new Map<MachineId, Known>()
  let listening = false
  /** Grows with each change, so that what was read before a change is not remembered after it. */
  let changes = 0
  const listener = openListener(address, CHANNEL, {
    name: 'autovibe-hub-callers',
    onNotify(machineId) {
      listening = true
      changes++
      if (machineId === '') known.clear()
      else known.delete(machineId as MachineId)
    },
    onError(error) {
      listening = false
      known.clear()
      onError(error)
    },
  })

  return {
    async find(machineId, req) {
      const token = tokenOf(req)
      const remembered = known.get(machineId)
      if (remembered && isSame(token, remembered.token)) return remembered.caller
      const changesBefore = changes
      const row = await read(db, machineId)
      const hash = createHash('sha256').update(token).digest()
      if (!row || !isSame(hash, Buffer.from(row.token_hash ?? '', 'hex'))) throw new AutovibeError('auth.missing', 'The token is not the one of this machine.')
      const caller = await withCaps(db, callerOf(row, machineId, secrets))
      if (listening && changes === changesBefore) {
        if (known.size >= MAX_KNOWN) known.clear()
        known.set(machineId, { token, caller })
      }
      return caller
    },
    close: () => listener.close(),
  }
}

async function read(db: Database, machineId: MachineId): Promise<Row | undefined> {
  const { rows } = await sql<Row>`
    select m.token_hash, r.id as run_id, r.project_id, r.budget_id, r.provider as run_provider,
      coalesce(r.winding_down_at is not null and r.state = 'running', false) as is_winding_down, p.name as provider, p.wire, p.base_url, p.key_sealed,
      own.key_sealed as own_key_sealed, own.origin as own_key_origin, project.allowed_models, (
        select json_agg(json_build_object('model', price.model, 'context_window_tokens', price.context_window_tokens::text, 'input', price.input::text,
          'cache_read', price.cache_read::text, 'cache_write_5m', price.cache_write_5m::text, 'cache_write_1h', price.cache_write_1h::text,
          'output', price.output::text, 'updated_at', to_char(price.updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) order by price.model)
        from project_prices price where price.project_id = r.project_id and price.provider = r.provider
      ) as own_prices
    from machines m
      left join runs r on r.machine_id = m.id and r.ended_at is null and r.state in ('queued', 'running', 'paused')
      left join providers p on p.name = r.provider
      left join projects project on project.id = r.project_id
      left join project_provider_keys own on own.project_id = r.project_id and own.provider = r.provider
    where m.id = ${machineId} limit 1`.execute(db)
  return rows[0]
}

async function withCaps(db: Database, caller: Omit<Caller, 'caps'>): Promise<Caller> {
  const budgets = await findNarrowestBudgets(db, caller.subject)
  return { ...caller, caps: new Map([...budgets].filter(([resource]) => resource !== 'money' && resource !== 'egress_bytes')) }
}

function callerOf(row: Row, machineId: MachineId, secrets: Secrets): Omit<Caller, 'caps'> {
  if (!row.run_id || !row.project_id)
    throw new AutovibeError('conflict.state', 'This machine has no run under way, so nothing may be spent.', { fix: 'Start one: autovibe run' })
  if (!row.budget_id) throw new AutovibeError('conflict.state', 'The run has no budget.')
  if (!row.provider || !row.base_url)
    throw new AutovibeError('provider.unknown', `There is no provider ${row.run_provider}.`, { fix: `Add it: autovibe provider set ${row.run_provider}` })
  return {
    subject: { projectId: row.project_id, machineId, runId: row.run_id },
    budgetId: row.budget_id,
    isWindingDown: row.is_winding_down,
    provider: row.provider,
    wire: row.wire ?? '',
    target: targetOf(row.base_url, keyOf(row, row.project_id, row.provider, row.base_url, secrets)),
    settings: settingsOf(row.project_id, row.allowed_models, row.own_prices ?? []),
  }
}

/** The project's own key, else the Hub's. A key of the project that was given for another origin is no reason to let the Hub pay. */
function keyOf(row: Row, projectId: ProjectId, provider: string, baseUrl: string, secrets: Secrets): string {
  if (row.own_key_sealed && row.own_key_origin !== null) {
    const { origin } = new URL(baseUrl)
    if (origin === row.own_key_origin) return openKey(secrets, row.own_key_sealed, projectKeyContext(projectId, provider, origin), provider)
    throw new AutovibeError('provider.key_missing', `The project's key for ${provider} was given for ${row.own_key_origin} and is not sent to ${origin}.`, {
      fix: `Give it again: PUT /v1/projects/${projectId}/keys/${provider}`,
    })
  }
  if (row.key_sealed) return openKey(secrets, row.key_sealed, providerKeyContext(provider), provider)
  throw new AutovibeError('provider.key_missing', `The provider ${provider} has no key.`, {
    fix: `Give it one: autovibe provider set ${provider} --key-stdin`,
  })
}

/** Not as a fault of ours that may be gone in a moment: an agent would try it again and again. */
function openKey(secrets: Secrets, sealed: Buffer, context: string, provider: string): string {
  try {
    return secrets.open(sealed, context)
  } catch (cause) {
    throw new AutovibeError('hub.master_key', `The key for the provider ${provider} cannot be read with the Hub's master key.`, {
      cause,
      internal: `${context}: ${cause instanceof AutovibeError ? (cause.internal ?? cause.message) : String(cause)}`,
      fix: `Start the Hub with the master key of before (autovibe doctor), or give the key again: autovibe provider set ${provider}`,
    })
  }
}

const isSame = (one: Buffer, other: Buffer): boolean => one.length === other.length && timingSafeEqual(one, other)

function tokenOf(req: IncomingMessage): Buffer {
  const key = req.headers['x-api-key']
  return Buffer.from(typeof key === 'string' && key !== '' ? key : (/^Bearer +(.+)$/i.exec(req.headers.authorization ?? '')?.[1] ?? ''))
}
