/** A transaction that is run again when PostgreSQL chose it as the victim of a deadlock or of a lost race. */
import type { Database, Tx } from './database.ts'

const ATTEMPTS = 5
/** deadlock_detected, serialization_failure (PostgreSQL, appendix A). */
const REPEATABLE = new Set(['40P01', '40001'])

/** Runs the work in a transaction; the work may run several times, so it must have no effect outside it. */
export async function transactionWithRetry<T>(db: Database, work: (tx: Tx) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await db.transaction().execute(work)
    } catch (error) {
      if (attempt === ATTEMPTS || !isRepeatable(error)) throw error
    }
  }
}

function isRepeatable(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && REPEATABLE.has(error.code)
}
