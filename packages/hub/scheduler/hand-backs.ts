/** Keeps what runs have set aside as their budgets say: releases it when a run has ended or is not to be wound down any more, and makes up what is missing. */
import type { ReservationId, RunId } from '@autovibe/contract'
import { sql } from 'kysely'
import { transactionWithRetry } from '../database/transaction.ts'
import type { Ports } from '../operations/ports.ts'
import { keepHandBack } from '../operations/steps/budgets.ts'
import { lockRun } from '../operations/steps/run-state.ts'

/** What is left over is found at the next look. */
const AT_ONCE_MAX = 1000

/** Repeated, it changes nothing more. */
export async function tendHandBacks(ports: Ports): Promise<void> {
  for (const id of await needless(ports)) await ports.ledger.release(id)
  for (const runId of await missing(ports)) {
    await transactionWithRetry(ports.db, async (tx) => {
      const run = await lockRun(tx, runId)
      if (run && run.ended_at === null && run.winding_down_at === null) await keepHandBack(ports, tx, runId)
    })
  }
}

async function needless({ db }: Ports): Promise<ReservationId[]> {
  const { rows } = await sql<{ id: ReservationId }>`
    select kept.id from reservations kept join runs r on r.id = kept.run_id join budgets b on b.id = kept.budget_id
    where kept.state = 'open' and kept.holder like 'hand-back %'
      and (r.ended_at is not null or (b.policy <> 'wind-down' and r.winding_down_at is null))
    limit ${AT_ONCE_MAX}`.execute(db)
  return rows.map(({ id }) => id)
}

async function missing({ db }: Ports): Promise<RunId[]> {
  const { rows } = await sql<{ id: RunId }>`
    select r.id from runs r join budgets b on b.id = r.budget_id
    where r.ended_at is null and r.winding_down_at is null and b.policy = 'wind-down' and b.closed_at is null
      and not exists (select 1 from reservations kept where kept.state = 'open' and kept.holder like 'hand-back %' and kept.holder = 'hand-back ' || r.id)
    limit ${AT_ONCE_MAX}`.execute(db)
  return rows.map(({ id }) => id)
}
