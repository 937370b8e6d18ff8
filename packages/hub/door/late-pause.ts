/** A pause for money that comes too late: while the agent told of the refusal, somebody has raised the limit, and nobody would raise it again. */
import { AutovibeError, type MachineId, type RunId } from '@autovibe/contract'
import { sql } from 'kysely'
import { transactionWithRetry } from '../database/transaction.ts'
import type { DoorContext } from './door.ts'

/** A machine tells of much, and its pause comes right behind the refusal. */
const EVENTS_LOOKED_AT = 1000
/** The word by which a raised limit finds the runs that wait for it. */
const FOR_MONEY = /budget/i

/**
 * Whether the pause is for money that there is again: a limit of the run or its machine was raised since its last call was refused, or so shortly before that the
 * refusal may not have known. An agent that finds its run going on makes the call once more.
 */
export async function isLatePause({ db, ledger }: DoorContext, machineId: MachineId, runId: RunId, reason: string | null): Promise<boolean> {
  if (!FOR_MONEY.test(reason ?? '')) return false
  const { rows } = await sql<{ raised: boolean }>`
    with latest as (
      select type, at, run_id, data from events where machine_id = ${machineId} order by xid desc, seq desc limit ${EVENTS_LOOKED_AT}
    )
    select exists (
      select from latest
      where type = 'budget.changed' and (data ->> 'limit')::numeric > (data ->> 'previous_limit')::numeric
        and at > (select max(at) from latest where type = 'gateway.call_refused' and run_id = ${runId}) - interval '1 second'
    ) as raised`.execute(db)
  if (!rows[0]?.raised) return false
  const run = await db.selectFrom('runs').select('budget_id').where('id', '=', runId).executeTakeFirst()
  return run?.budget_id != null && (await ledger.available(run.budget_id)) > 0n
}

/** Lets a run go on that waits for money, if it can. */
export async function endPause({ db, requests }: DoorContext, runId: RunId): Promise<void> {
  try {
    await transactionWithRetry(db, async (tx) => {
      const run = await tx.selectFrom('runs').select(['state', 'state_reason']).where('id', '=', runId).executeTakeFirst()
      if (run?.state === 'paused' && FOR_MONEY.test(run.state_reason ?? '')) await requests.resumeRun(tx, runId)
    })
  } catch (error) {
    // It is out of money all the same, or somebody else has it in hand.
    if (!(error instanceof AutovibeError)) throw error
  }
}
