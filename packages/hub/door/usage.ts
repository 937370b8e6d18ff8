/** What a machine used besides model calls: charged to the budgets that cap it, recorded where none does, and answered with what is left. */
import { AutovibeError, BudgetStatus, type MachineId, type ProjectId, UsageReport } from '@autovibe/contract'
import type { Tx } from '../database/database.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import { knownKeys } from '../ledger/known-keys.ts'
import type { Consumption } from '../ledger/ledger.ts'
import { findNarrowestBudgets } from '../ledger/narrowest.ts'
import { isMetered } from '../metering/meter.ts'
import type { DoorApp, DoorContext } from './door.ts'
import { budgetStatus } from './heartbeat.ts'
import { createReports, type ReportingRun } from './reported.ts'

/** What one consumption takes in rows: the usage event and the event that tells of it, and what the ledger keeps of a charge. */
const USAGE_BYTES = 1024

interface Used {
  /** Of the run, which is this machine's alone, and of the report: the same when it is sent again. */
  readonly key: string
  readonly consumption: Consumption
}

export function usageRoutes(app: DoorApp, context: DoorContext): void {
  const { db, ledger, room, runtime, substrate } = context
  const reports = createReports(db, runtime.now, () => substrate.capabilities().most.cores)

  app.post('/door/usage', { schema: { body: UsageReport, response: { 200: BudgetStatus } } }, async ({ machineId, body }) => {
    const columns = ['id', 'project_id', 'started_at', 'ended_at'] as const
    const run = await db.selectFrom('runs').select(columns).where('id', '=', body.run_id).where('machine_id', '=', machineId).executeTakeFirst()
    if (!run) throw new AutovibeError('auth.forbidden', `The run ${body.run_id} is not this machine's.`)
    // Where the Hub measures by itself, a machine's own word for the same would count it twice.
    if (!(await isMetered(db, machineId))) await reports.inTurn(run.id, () => count({ ...run, machineId }, body))
    return budgetStatus(context, machineId)
  })

  async function count(run: ReportingRun & { project_id: ProjectId; machineId: MachineId }, { id, usage }: UsageReport): Promise<void> {
    const subject = { projectId: run.project_id, machineId: run.machineId, runId: run.id }
    const told = usage.map((line, index) => ({ ...line, key: `usage ${run.id} ${id} ${index}`, amount: BigInt(line.amount), reported: line.amount }))
    const known = await knownKeys(
      db,
      told.map(({ key }) => key),
    )
    const fresh = told.filter(({ key, amount }) => amount > 0n && !known.has(key))
    if (fresh.length === 0) return
    const believed = (await reports.believe(run, fresh)).filter(({ amount }) => amount > 0n)
    if (believed.length === 0) {
      throw new AutovibeError(
        'request.invalid',
        `The run ${run.id} has reported all the seconds that have passed since it began; more cannot have been used.`,
        {
          fix: 'Report what was used since the last report, and no more.',
        },
      )
    }
    const used = believed.map(({ key, resource, amount, reported, quality, service }): Used => {
      // What was cut off is told with what counts.
      const detail = amount.toString() === reported ? { service } : { service, reported_amount: reported }
      return { key, consumption: { ...subject, resource, amount, quality, cost: 0n, detail } }
    })
    const budgets = await findNarrowestBudgets(db, subject)
    const bytes = used.length * USAGE_BYTES
    const isKept = await transactionWithRetry(db, async (tx: Tx) => {
      if (!(await room.hasRoom(tx, { id: run.id, machineId: run.machineId, projectId: run.project_id }, bytes))) return false
      for (const { key, consumption } of used) if (!budgets.has(consumption.resource)) await ledger.record(tx, consumption, key)
      return true
    })
    if (!isKept) throw room.close(run.id)
    room.add(run.id, bytes)
    // Whatever fails from here on, the agent sends the report again, and what was counted by then is left out.
    // All have ended when the turn does, so that the next reads figures that stand.
    const outcomes = await Promise.allSettled(
      used.map(async ({ key, consumption }) => {
        const budgetId = budgets.get(consumption.resource)
        if (budgetId) await ledger.charge(key, consumption, budgetId)
      }),
    )
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed) throw failed.reason
  }
}
