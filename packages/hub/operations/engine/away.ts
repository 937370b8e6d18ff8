/** An operation whose substrate is away waits as long as that lasts: nothing was tried, so nothing is counted, turned round or given up. */
import type { AutovibeError } from '@autovibe/contract'
import type { Tx } from '../../database/database.ts'
import type { EngineContext, OperationRow } from './context.ts'
import { AWAY_RECHECK_MS } from './limits.ts'

export const isAway = ({ code }: AutovibeError): boolean => code === 'substrate.away'

/** Forwards and backwards alike; a cancel is still read before each try. */
export async function waitForSubstrate(tx: Tx, engine: EngineContext, row: OperationRow, error: AutovibeError): Promise<'parked'> {
  const step = row.steps[row.step_index] ?? ''
  if (row.step_attempts <= 1) engine.log.warn({ operation: row.id, kind: row.kind, step, err: error }, 'a step waits for the substrate')
  await tx
    .updateTable('operations')
    .set({
      // Never back to none: the first attempt is news, and whoever follows the operation has had it.
      step_attempts: Math.min(1, row.step_attempts),
      wake_at: new Date(engine.runtime.now().getTime() + AWAY_RECHECK_MS),
      lease_owner: null,
      lease_expires_at: null,
    })
    .where('id', '=', row.id)
    .execute()
  return 'parked'
}
