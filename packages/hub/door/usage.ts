/** What a machine used besides model calls: recorded, and answered with what is left. */
import { AutovibeError, BudgetStatus, UsageReport } from '@autovibe/contract'
import type { DoorApp, DoorContext } from './door.ts'
import { budgetStatus } from './heartbeat.ts'

export function usageRoutes(app: DoorApp, context: DoorContext): void {
  app.post('/door/usage', { schema: { body: UsageReport, response: { 200: BudgetStatus } } }, async ({ machineId, body }) => {
    await context.db.transaction().execute(async (tx) => {
      const run = await tx.selectFrom('runs').select('project_id').where('id', '=', body.run_id).where('machine_id', '=', machineId).executeTakeFirst()
      if (!run) throw new AutovibeError('auth.forbidden', `The run ${body.run_id} is not this machine's.`)
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
    })
    return budgetStatus(context, machineId)
  })
}
