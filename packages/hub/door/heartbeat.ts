/** A machine's sign of life, answered with what is left of its money. */
import { BudgetStatus, Heartbeat, type MachineId } from '@autovibe/contract'
import type { z } from 'zod'
import { transactionWithRetry } from '../database/transaction.ts'
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
    .select(['machines.revision', 'budgets.id as budget_id', 'budgets.settled', 'budgets.limit'])
    .where('machines.id', '=', machineId)
    .executeTakeFirstOrThrow()
  const available = row.budget_id ? await ledger.available(row.budget_id) : 0n
  return { spent: (row.settled ?? 0n).toString(), limit: (row.limit ?? 0n).toString(), available: available.toString(), revision: Number(row.revision) }
}
