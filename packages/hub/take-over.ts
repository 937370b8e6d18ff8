/** What a Hub does about its dead predecessor on the same data directory; only whoever holds the directory's lock may. */
import type { Database } from './database/database.ts'
import type { Ledger } from './ledger/ledger.ts'
import type { EngineLog } from './operations/engine/context.ts'
import type { Runtime } from './runtime.ts'

const BATCH = 1000

/** Takes the predecessor's operations at once instead of when their leases run out, and settles what it had reserved at its bound. */
export async function takeOver({ db, ledger, runtime }: { db: Database; ledger: Ledger; runtime: Runtime }, log: EngineLog): Promise<void> {
  const now = runtime.now()
  const operations = await db
    .updateTable('operations')
    .set({ lease_owner: null, lease_expires_at: null })
    .where('ended_at', 'is', null)
    .where('lease_owner', 'is not', null)
    .executeTakeFirst()
  await db.updateTable('reservations').set({ lease_expires_at: now }).where('state', '=', 'open').where('lease_expires_at', '>', now).execute()
  let settled = 0
  for (;;) {
    const ended = await ledger.expire(BATCH)
    settled += ended
    if (ended < BATCH) break
  }
  if (operations.numUpdatedRows > 0n || settled > 0)
    log.warn({ operations: Number(operations.numUpdatedRows), reservations: settled }, 'the last Hub did not end in good order; its work goes on here')
}
