/** What each run has reported of its own consumption so far: one machine after the other is believed no more than there was time for. */
import type { RunId } from '@autovibe/contract'
import { believable } from '@autovibe/core/metering/reported.ts'
import { type Kysely, sql } from 'kysely'
import type { Schema } from '../database/schema.ts'

/** Runs whose figures are kept in memory; of any other they are read again. */
const RUNS_KNOWN_MAX = 1_000

type Resource = 'wall_seconds' | 'cpu_seconds'

export interface ReportingRun {
  readonly id: RunId
  readonly started_at: Date | null
  readonly ended_at: Date | null
}

export interface Reports {
  /** One report of a run after the other. After a failure its figures are read again: some of it may have been counted. */
  inTurn<T>(runId: RunId, work: () => Promise<T>): Promise<T>
  /** Cuts the amounts to what there was time for and counts them, as the caller then does. Only in turn. */
  believe<T extends { readonly resource: Resource; readonly amount: bigint }>(run: ReportingRun, lines: readonly T[]): Promise<T[]>
}

export function createReports(db: Kysely<Schema>, now: () => Date, cores: () => number): Reports {
  const known = new Map<RunId, Record<Resource, bigint>>()
  const turns = new Map<RunId, Promise<unknown>>()

  async function countedOf(runId: RunId): Promise<Record<Resource, bigint>> {
    const counted = known.get(runId) ?? (await readCounted(db, runId))
    // The one asked for last stays longest.
    known.delete(runId)
    known.set(runId, counted)
    const [oldest] = known.keys()
    if (known.size > RUNS_KNOWN_MAX && oldest !== undefined) known.delete(oldest)
    return counted
  }

  return {
    inTurn(runId, work) {
      const turn = (turns.get(runId) ?? Promise.resolve()).then(work).catch((error: unknown) => {
        known.delete(runId)
        throw error
      })
      const settled = turn
        .catch(() => undefined)
        .finally(() => {
          if (turns.get(runId) === settled) turns.delete(runId)
        })
      turns.set(runId, settled)
      return turn
    },
    async believe({ id, started_at, ended_at }, lines) {
      const counted = await countedOf(id)
      const passedMs = started_at === null ? 0 : (ended_at ?? now()).getTime() - started_at.getTime()
      return lines.map((line) => {
        const amount = believable({ resource: line.resource, amount: line.amount, counted: counted[line.resource], passedMs, cores: cores() })
        counted[line.resource] += amount
        return { ...line, amount }
      })
    },
  }
}

async function readCounted(db: Kysely<Schema>, runId: RunId): Promise<Record<Resource, bigint>> {
  const { rows } = await sql<{ resource: Resource; amount: string }>`
    select resource, sum(amount)::text as amount from usage_events where run_id = ${runId} and resource in ('wall_seconds', 'cpu_seconds') group by resource`.execute(
    db,
  )
  const amountOf = (of: Resource): bigint => BigInt(rows.find(({ resource }) => resource === of)?.amount ?? 0)
  return { wall_seconds: amountOf('wall_seconds'), cpu_seconds: amountOf('cpu_seconds') }
}
