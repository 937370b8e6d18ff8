/** Who asks for a tunnel: its project, what that allows, and what caps its bytes. Read afresh for each attempt and each look. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { AutovibeError, type BudgetId, type MachineId, type ProjectId, type RunId } from '@autovibe/contract'
import { parseRule, type Rule, type RuleText } from '@autovibe/core/egress/rules.ts'
import { sql } from 'kysely'
import type { Database } from '../database/database.ts'
import type { Subject } from '../ledger/ledger.ts'
import { findNarrowestBudgets } from '../ledger/narrowest.ts'

export interface Caller {
  readonly subject: Subject & { readonly machineId: MachineId }
  /** The name of its project. */
  readonly project: string
  readonly rules: readonly Rule[]
  /** The narrowest budget of bytes; as a rule there is none. */
  readonly budgetId: BudgetId | undefined
}

interface Row {
  readonly token_hash: string | null
  readonly project_id: ProjectId
  readonly project: string
  readonly run_id: RunId | null
  readonly rules: RuleText[] | null
}

/** The caller behind a token on the socket of this machine; `auth.missing` unless it is the machine's own and still good. A machine may be at rest. */
export async function findCaller(db: Database, machineId: MachineId, token: string): Promise<Caller> {
  const { rows } = await sql<Row>`
    select m.token_hash, m.project_id, p.name as project,
      (select r.id from runs r where r.machine_id = m.id and r.ended_at is null limit 1) as run_id,
      (select json_agg(json_build_object('destination', e.destination, 'private', e.private)) from project_egress e where e.project_id = m.project_id) as rules
    from machines m join projects p on p.id = m.project_id
    where m.id = ${machineId}`.execute(db)
  const [row] = rows
  const hash = createHash('sha256').update(token).digest()
  const known = Buffer.from(row?.token_hash ?? '', 'hex')
  if (!row || hash.length !== known.length || !timingSafeEqual(hash, known))
    throw new AutovibeError('auth.missing', 'The token is not the one of this machine.')
  const subject = { projectId: row.project_id, machineId, runId: row.run_id }
  const budgets = await findNarrowestBudgets(db, subject)
  return { subject, project: row.project, rules: (row.rules ?? []).map(ruleOf), budgetId: budgets.get('egress_bytes') }
}

/** The machine's token as a proxy is given it: a bearer, or the password of a user. Empty when there is none. */
export function tokenOf(header: string | undefined): string {
  const [, scheme = '', value = ''] = /^(bearer|basic) +(\S{1,400})$/i.exec(header ?? '') ?? []
  if (scheme.toLowerCase() !== 'basic') return value
  return /^[^:]*:(.*)$/s.exec(Buffer.from(value, 'base64').toString('utf8'))?.[1] ?? ''
}

function ruleOf(text: RuleText): Rule {
  const rule = parseRule(text)
  // Only what can be read is kept.
  if ('wrong' in rule) throw new AutovibeError('internal', 'The allow-list of the project cannot be read.', { internal: `${text.destination}: ${rule.wrong}` })
  return rule
}
