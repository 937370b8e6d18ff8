/** What a Hub does about its predecessor on the same data directory, dead or ended in good order; only whoever holds the directory's lock may. */
import { AutovibeError } from '@autovibe/contract'
import type { Database } from './database/database.ts'
import type { Ledger } from './ledger/ledger.ts'
import type { EngineLog } from './operations/engine/context.ts'
import { enqueueRestart } from './operations/requests/restart.ts'
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
  // What a run has set aside is its own, whichever Hub there is.
  await db
    .updateTable('reservations')
    .set({ lease_expires_at: now })
    .where('state', '=', 'open')
    .where('lease_expires_at', '>', now)
    .where('holder', 'not like', 'hand-back %')
    .execute()
  let settled = 0
  for (;;) {
    const ended = await ledger.expire(BATCH)
    settled += ended
    if (ended < BATCH) break
  }
  if (operations.numUpdatedRows > 0n || settled > 0)
    log.warn({ operations: Number(operations.numUpdatedRows), reservations: settled }, 'the last Hub did not end in good order; its work goes on here')
}

/**
 * Asks for the start of every machine that the predecessor's end has stopped, and answers their names. One that an operation has in hand, or whose start fails, is
 * left to the sweep.
 */
export async function startAgain({ db, runtime }: { db: Database; runtime: Runtime }, log: EngineLog): Promise<string[]> {
  const waiting = await db
    .selectFrom('machines')
    .select(['id', 'name'])
    .where('destroyed_at', 'is', null)
    .where('restarts_left', '>', 0)
    .where('state', 'in', ['stopped', 'failed'])
    .orderBy('name')
    .execute()
  const names: string[] = []
  for (const { id, name } of waiting) {
    try {
      if (await db.transaction().execute((tx) => enqueueRestart(tx, runtime, id))) names.push(name)
    } catch (error) {
      if (!(error instanceof AutovibeError && error.code === 'conflict.busy')) throw error
    }
  }
  if (names.length > 0) log.info({ machines: names }, 'machines that the end of the last Hub has stopped are started again')
  return names
}
