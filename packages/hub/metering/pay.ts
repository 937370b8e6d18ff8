/** Brings charges into the ledger: to the narrowest budget that caps the resource, or into the record where none does. */
import { AutovibeError, type Json, type MachineId } from '@autovibe/contract'
import type { Charge } from '@autovibe/core/metering/account.ts'
import type { Database } from '../database/database.ts'
import { knownKeys } from '../ledger/known-keys.ts'
import type { Consumption, Ledger } from '../ledger/ledger.ts'
import { findNarrowestBudgets } from '../ledger/narrowest.ts'

/** Each counts once, however often it is asked for. `detail` stands with the processor time. */
export async function pay(
  { db, ledger }: { readonly db: Database; readonly ledger: Ledger },
  machineId: MachineId,
  charges: readonly Charge[],
  detail: Record<string, Json>,
): Promise<void> {
  const { project_id: projectId } = await db.selectFrom('machines').select('project_id').where('id', '=', machineId).executeTakeFirstOrThrow()
  const known = await knownKeys(
    db,
    charges.map(({ key }) => key),
  )
  for (const { key, runId, resource, amount, quality } of charges) {
    if (known.has(key)) continue
    const subject = { projectId, machineId, runId }
    const consumption: Consumption = {
      ...subject,
      resource,
      amount: BigInt(amount),
      quality,
      cost: 0n,
      detail: { service: 'meter', ...(resource === 'cpu_seconds' ? detail : {}) },
    }
    const budgetId = (await findNarrowestBudgets(db, subject)).get(resource)
    if (budgetId === undefined || !(await isCharged(ledger, key, consumption, budgetId)))
      await db.transaction().execute((tx) => ledger.record(tx, consumption, key))
  }
}

/** A budget that can hold no more is no reason to forget what was used. */
async function isCharged(ledger: Ledger, key: string, consumption: Consumption, budgetId: Parameters<Ledger['charge']>[2]): Promise<boolean> {
  try {
    await ledger.charge(key, consumption, budgetId)
    return true
  } catch (error) {
    if (error instanceof AutovibeError && !error.retryable) return false
    throw error
  }
}
