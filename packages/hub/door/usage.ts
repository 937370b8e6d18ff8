/** What a machine used besides model calls: charged to the budgets that cap it, recorded where none does, and answered with what is left. */
import { AutovibeError, BudgetStatus, UsageReport } from '@autovibe/contract'
import type { Tx } from '../database/database.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import { knownKeys } from '../ledger/known-keys.ts'
import type { Consumption } from '../ledger/ledger.ts'
import { findNarrowestBudgets } from '../ledger/narrowest.ts'
import { isMetered } from '../metering/meter.ts'
import type { DoorApp, DoorContext } from './door.ts'
import { budgetStatus } from './heartbeat.ts'

/** What one consumption takes in rows: the usage event and the event that tells of it, and what the ledger keeps of a charge. */
const USAGE_BYTES = 1024

/** What the Hub measures of a machine, if it measures any of it. */
const METERED: ReadonlySet<string> = new Set(['cpu_seconds', 'wall_seconds', 'storage_bytes'])

interface Used {
  /** Of the run, which is this machine's alone, and of the report: the same when it is sent again. */
  readonly key: string
  readonly consumption: Consumption
}

export function usageRoutes(app: DoorApp, context: DoorContext): void {
  const { db, ledger, room } = context
  app.post('/door/usage', { schema: { body: UsageReport, response: { 200: BudgetStatus } } }, async ({ machineId, body }) => {
    const run = await db.selectFrom('runs').select(['id', 'project_id']).where('id', '=', body.run_id).where('machine_id', '=', machineId).executeTakeFirst()
    if (!run) throw new AutovibeError('auth.forbidden', `The run ${body.run_id} is not this machine's.`)
    const subject = { projectId: run.project_id, machineId, runId: run.id }
    // Where the Hub measures by itself, a machine's own word for the same would count it twice.
    const told = (await isMetered(db, machineId)) ? body.usage.filter(({ resource }) => !METERED.has(resource)) : body.usage
    const used = told.map(
      ({ resource, amount, quality, service }, index): Used => ({
        key: `usage ${run.id} ${body.id} ${index}`,
        consumption: { ...subject, resource, amount: BigInt(amount), quality, cost: 0n, detail: { service } },
      }),
    )
    const known = await knownKeys(
      db,
      used.map(({ key }) => key),
    )
    const fresh = used.filter(({ key }) => !known.has(key))
    if (fresh.length === 0) return budgetStatus(context, machineId)
    const budgets = await findNarrowestBudgets(db, subject)
    const bytes = fresh.length * USAGE_BYTES
    const isKept = await transactionWithRetry(db, async (tx: Tx) => {
      if (!(await room.hasRoom(tx, { id: run.id, machineId, projectId: run.project_id }, bytes))) return false
      for (const { key, consumption } of fresh) if (!budgets.has(consumption.resource)) await ledger.record(tx, consumption, key)
      return true
    })
    if (!isKept) throw room.close(run.id)
    room.add(run.id, bytes)
    // Whatever fails from here on, the agent sends the report again, and what was counted by then is left out.
    await Promise.all(
      fresh.map(async ({ key, consumption }) => {
        const budgetId = budgets.get(consumption.resource)
        if (budgetId) await ledger.charge(key, consumption, budgetId)
      }),
    )
    return budgetStatus(context, machineId)
  })
}
