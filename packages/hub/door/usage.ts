/** What a machine used besides model calls: recorded, and answered with what is left. */
import { AutovibeError, BudgetStatus, UsageReport } from '@autovibe/contract'
import { transactionWithRetry } from '../database/transaction.ts'
import type { DoorApp, DoorContext } from './door.ts'
import { budgetStatus } from './heartbeat.ts'

/** What one report takes in rows: the usage event and the event that tells of it. */
const USAGE_BYTES = 1024

export function usageRoutes(app: DoorApp, context: DoorContext): void {
  app.post('/door/usage', { schema: { body: UsageReport, response: { 200: BudgetStatus } } }, async ({ machineId, body }) => {
    const bytes = body.usage.length * USAGE_BYTES
    const isKept = await transactionWithRetry(context.db, async (tx) => {
      const run = await tx.selectFrom('runs').select('project_id').where('id', '=', body.run_id).where('machine_id', '=', machineId).executeTakeFirst()
      if (!run) throw new AutovibeError('auth.forbidden', `The run ${body.run_id} is not this machine's.`)
      if (!(await context.room.hasRoom(tx, { id: body.run_id, machineId, projectId: run.project_id }, bytes))) return false
      for (const { resource, amount, quality, service } of body.usage) {
        const consumption = {
          projectId: run.project_id,
          machineId,
          runId: body.run_id,
          resource,
          amount: BigInt(amount),
          quality,
          cost: 0n,
          detail: { service },
        }
        await context.ledger.record(tx, consumption, null)
      }
      return true
    })
    if (!isKept) throw context.room.close(body.run_id)
    context.room.add(body.run_id, bytes)
    return budgetStatus(context, machineId)
  })
}
