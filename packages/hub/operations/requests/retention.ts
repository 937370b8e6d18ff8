/** Asks for the end of the checkpoints that no rule of their project keeps; the operations look again before they act. */
import type { OperationId, ProjectId, RetentionRules } from '@autovibe/contract'
import { type Decision, decideRetention } from '@autovibe/core/checkpoints/retention/decide.ts'
import type { Database, Tx } from '../../database/database.ts'
import type { Runtime } from '../../runtime.ts'
import { enqueue } from '../engine/enqueue.ts'
import { EXPIRED_AT_ONCE_MAX, expireCheckpoints } from '../expire-checkpoints.ts'
import { readRetentionFacts, type StoredFact } from './retention-facts.ts'

/** What more there is goes at the next look. */
const OPERATIONS_MAX = 50

export type Plan = readonly Decision<StoredFact>[]

/** What would stay and what would go at this moment, newest first. */
export async function planRetention(db: Database, projectId: ProjectId, rules: RetentionRules, nowMs: number): Promise<Plan> {
  return decideRetention(await readRetentionFacts(db, projectId), rules, nowMs)
}

/** Answers the operations that let go what the plan says. */
export async function enqueueExpiry(tx: Tx, runtime: Runtime, projectId: ProjectId, rules: RetentionRules, plan: Plan): Promise<OperationId[]> {
  const expiring = plan.flatMap(({ fact, verdict }) => (verdict === 'expire' ? [fact.id] : []))
  const operations: OperationId[] = []
  for (let from = 0; from < expiring.length && operations.length < OPERATIONS_MAX; from += EXPIRED_AT_ONCE_MAX) {
    const input = { projectId, rules, checkpointIds: expiring.slice(from, from + EXPIRED_AT_ONCE_MAX) }
    operations.push(await enqueue(tx, runtime, expireCheckpoints, input, { projectId, machineId: null }))
  }
  return operations
}
