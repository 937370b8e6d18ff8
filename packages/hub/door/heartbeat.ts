/** A machine's sign of life, answered with what is left of its money. */
import { type BudgetPolicy, BudgetStatus, Heartbeat, type MachineId, type RunId } from '@autovibe/contract'
import type { z } from 'zod'
import type { Database } from '../database/database.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import { hasHandBack } from '../ledger/holds.ts'
import { wake } from '../operations/engine/wake.ts'
import { unknownBoot } from './boot.ts'
import type { DoorApp, DoorContext } from './door.ts'

export function heartbeatRoutes(app: DoorApp, context: DoorContext): void {
  const { db, runtime } = context
  app.post('/door/heartbeat', { schema: { body: Heartbeat, response: { 200: BudgetStatus } } }, async ({ machineId, body }) => {
    await transactionWithRetry(db, async (tx) => {
      const beat = await tx
        .updateTable('machines')
        .set({ last_heartbeat_at: runtime.now() })
        .where('id', '=', machineId)
        .where('boot_id', '=', body.boot_id)
        .executeTakeFirst()
      if (beat.numUpdatedRows === 0n) throw unknownBoot()
      if (!body.quiet) return
      const { numUpdatedRows } = await tx
        .updateTable('machines')
        .set((eb) => ({ quiet_revision: eb.ref('revision') }))
        .where('id', '=', machineId)
        .where('control', '=', 'quiesce')
        .executeTakeFirst()
      if (numUpdatedRows > 0n) await wake(tx, machineId)
    })
    return budgetStatus(context, machineId)
  })
}

export async function budgetStatus({ db, ledger }: DoorContext, machineId: MachineId): Promise<z.input<typeof BudgetStatus>> {
  const row = await db
    .selectFrom('machines')
    .leftJoin('runs', 'runs.id', 'machines.run_id')
    .leftJoin('budgets', 'budgets.id', 'runs.budget_id')
    .select(['machines.revision', 'runs.id as run_id', 'budgets.id as budget_id', 'budgets.settled', 'budgets.limit', 'runs.winding_down_at', 'runs.state'])
    .where('machines.id', '=', machineId)
    .executeTakeFirstOrThrow()
  const standing = row.budget_id ? await ledger.standing(row.budget_id) : null
  return {
    spent: (row.settled ?? 0n).toString(),
    limit: (row.limit ?? 0n).toString(),
    available: (standing?.available ?? 0n).toString(),
    revision: Number(row.revision),
    limit_met: standing?.met ? { policy: await policyOf(db, standing.met.policy, row.run_id), sentence: standing.met.sentence } : null,
    winding_down: row.winding_down_at !== null && row.state === 'running',
    reached_percent: standing?.reachedPercent ?? null,
  }
}

/** Only a run that has something set aside can be wound down; any other ends its step. */
async function policyOf(db: Database, policy: BudgetPolicy, runId: RunId | null): Promise<BudgetPolicy> {
  if (policy !== 'wind-down') return policy
  return runId !== null && (await hasHandBack(db, runId)) ? 'wind-down' : 'finish-step'
}
