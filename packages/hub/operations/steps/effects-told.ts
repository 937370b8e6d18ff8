/** What a rollback has left but not undone, told beside it: a report that cannot be made neither undoes the rollback nor holds it up. */
import { AutovibeError, type ErrorCode, type MachineId, type RollbackEffects } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'
import { stepError } from '../engine/context.ts'
import { type RollbackLook, readRollbackEffects } from '../requests/rollback-effects.ts'

/** A machine that has done much has much to be read. All statements together then end before the step's own time is up. */
const STATEMENT_MS_MAX = 5000
/** What PostgreSQL says of a statement that took longer than it may. */
const QUERY_CANCELED = '57014'

/** `effects` null: they could not be told, and why. */
export type EffectsTold =
  | { readonly effects: RollbackEffects }
  | { readonly effects: null; readonly effects_error: { readonly code: ErrorCode; readonly message: string } }

interface Told extends Omit<RollbackLook, 'machine'> {
  readonly machineId: MachineId
}

/** All of one moment, with nothing locked, and ended by PostgreSQL itself when it takes too long. */
export async function tellEffects(db: Database, { machineId, ...look }: Told, statementMsMax = STATEMENT_MS_MAX): Promise<EffectsTold> {
  const telling = db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only')
  try {
    const effects = await telling.execute(async (tx) => {
      await sql`select set_config('statement_timeout', ${String(statementMsMax)}, true)`.execute(tx)
      const machine = await tx.selectFrom('machines').selectAll().where('id', '=', machineId).executeTakeFirstOrThrow()
      return readRollbackEffects(tx, { machine, ...look })
    })
    return { effects }
  } catch (thrown) {
    const { code, message } = tellingError(thrown)
    return { effects: null, effects_error: { code, message } }
  }
}

function tellingError(thrown: unknown): AutovibeError {
  const sqlState = thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' && /^[0-9A-Z]{5}$/.test(thrown.code) ? thrown.code : null
  if (sqlState === QUERY_CANCELED) return new AutovibeError('operation.deadline', 'It took too long to read them.', { cause: thrown })
  const error = stepError(thrown)
  // What the database says in words may hold what a machine has written.
  if (error.code === 'internal' && sqlState !== null) return new AutovibeError('hub.database', `The database answered ${sqlState}.`, { cause: thrown })
  return error
}
