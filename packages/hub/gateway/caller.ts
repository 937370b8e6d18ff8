/** Who calls, for which run, on which money, and where the call goes: read afresh for each call, so that every change counts at once. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { AutovibeError, type BudgetId, type MachineId, type ProjectId, type RunId } from '@autovibe/contract'
import type { Database } from '../database/database.ts'
import type { UpstreamTarget } from './upstream.ts'

export interface Caller {
  readonly subject: { readonly projectId: ProjectId; readonly machineId: MachineId; readonly runId: RunId }
  readonly budgetId: BudgetId
  readonly provider: string
  readonly target: UpstreamTarget
}

export interface Secrets {
  /** Opens what was sealed for this context; throws when it was not. */
  open(sealed: Buffer, context: string): string
}

/** `auth.missing` unless the request carries the machine's token, as `x-api-key` or as a bearer. */
export async function authenticate(db: Database, machineId: MachineId, req: IncomingMessage): Promise<void> {
  const machine = await db.selectFrom('machines').select('token_hash').where('id', '=', machineId).executeTakeFirst()
  const sent = createHash('sha256').update(tokenOf(req)).digest()
  if (!machine?.token_hash || !timingSafeEqual(sent, hexDigest(machine.token_hash))) {
    throw new AutovibeError('auth.missing', 'The token is not the one of this machine.')
  }
}

/** `conflict.state` without an open run, `provider.unknown`, `provider.key_missing`. */
export async function findCaller(db: Database, secrets: Secrets, machineId: MachineId): Promise<Caller> {
  const run = await db
    .selectFrom('runs')
    .select(['id', 'project_id', 'provider', 'budget_id'])
    .where('machine_id', '=', machineId)
    .where('ended_at', 'is', null)
    .where('state', 'in', ['queued', 'running', 'paused'])
    .executeTakeFirst()
  if (!run) throw new AutovibeError('conflict.state', 'This machine has no run under way, so nothing may be spent.', { fix: 'Start one: autovibe run' })
  if (!run.budget_id) throw new AutovibeError('conflict.state', 'The run has no budget.')
  const provider = await db.selectFrom('providers').select(['name', 'base_url', 'key_sealed']).where('name', '=', run.provider).executeTakeFirst()
  if (!provider) throw new AutovibeError('provider.unknown', `There is no provider ${run.provider}.`, { fix: `Add it: autovibe provider set ${run.provider}` })
  if (!provider.key_sealed) {
    throw new AutovibeError('provider.key_missing', `The provider ${provider.name} has no key.`, {
      fix: `Give it one: autovibe provider set ${provider.name} --key-stdin`,
    })
  }
  return {
    subject: { projectId: run.project_id, machineId, runId: run.id },
    budgetId: run.budget_id,
    provider: provider.name,
    target: { baseUrl: provider.base_url, key: secrets.open(provider.key_sealed, `provider:${provider.name}`) },
  }
}

function tokenOf(req: IncomingMessage): string {
  const key = req.headers['x-api-key']
  if (typeof key === 'string' && key !== '') return key
  return /^Bearer +(.+)$/i.exec(req.headers.authorization ?? '')?.[1] ?? ''
}

function hexDigest(hex: string): Buffer {
  const digest = Buffer.from(hex, 'hex')
  return digest.length === 32 ? digest : Buffer.alloc(32)
}
