/** How much the Hub keeps of what one run tells: its database holds the money too, and must not be filled by a machine. */
import { AutovibeError, DOOR_LIMITS, type MachineId, type ProjectId, type RunId } from '@autovibe/contract'
import { sql } from 'kysely'
import type { Tx } from '../database/database.ts'
import { recordEvent } from '../database/events.ts'
import type { Runtime } from '../runtime.ts'

/** What a row takes besides its data. */
export const ROW_BYTES = 256
/** Runs whose figure is kept in memory; of any other it is read again. */
const RUNS_KNOWN_MAX = 1_000

export interface TellingRun {
  readonly id: RunId
  readonly machineId: MachineId
  readonly projectId: ProjectId
}

interface Figure {
  bytes: number
  isFull: boolean
}

export interface RunRoom {
  /** Whether so many bytes more are kept of the run. When not, that is recorded, once. */
  hasRoom(tx: Tx, run: TellingRun, bytes: number): Promise<boolean>
  /** After the commit of what was let in. */
  add(runId: RunId, bytes: number): void
  /** After the commit of what was not: nothing more of this run is kept, and `run.events_full` is the answer. */
  close(runId: RunId): AutovibeError
}

export function createRunRoom(runtime: Runtime): RunRoom {
  const known = new Map<RunId, Figure>()

  async function figureOf(tx: Tx, runId: RunId): Promise<Figure> {
    const figure = known.get(runId) ?? (await readFigure(tx, runId))
    // The one asked for last stays longest.
    known.delete(runId)
    known.set(runId, figure)
    const [oldest] = known.keys()
    if (known.size > RUNS_KNOWN_MAX && oldest !== undefined) known.delete(oldest)
    return figure
  }

  return {
    async hasRoom(tx, run, bytes) {
      const figure = await figureOf(tx, run.id)
      if (figure.isFull) return false
      if (figure.bytes + bytes <= DOOR_LIMITS.runBytes) return true
      await tellFull(tx, runtime, run)
      return false
    },
    add(runId, bytes) {
      const figure = known.get(runId)
      if (figure) figure.bytes += bytes
    },
    close(runId) {
      const figure = known.get(runId)
      if (figure) figure.isFull = true
      return new AutovibeError('run.events_full', `The run ${runId} has told ${DOOR_LIMITS.runBytes} bytes, all that is kept of one run.`, {
        fix: 'Go on without telling: the run does not end by it.',
      })
    },
  }
}

async function readFigure(tx: Tx, runId: RunId): Promise<Figure> {
  const { rows } = await sql<{ bytes: bigint; full: boolean }>`
    select coalesce(sum(octet_length(data::text) + ${ROW_BYTES}::int), 0)::bigint as bytes, coalesce(bool_or(type = 'run.events_full'), false) as full
    from events where run_id = ${runId}`.execute(tx)
  return { bytes: Number(rows[0]?.bytes ?? 0n), isFull: rows[0]?.full ?? false }
}

async function tellFull(tx: Tx, runtime: Runtime, run: TellingRun): Promise<void> {
  // Two batches may find it full at the same time; the second sees what the first recorded.
  await sql`select pg_advisory_xact_lock(hashtextextended(${`run.events_full:${run.id}`}, 0))`.execute(tx)
  const told = await tx.selectFrom('events').select('id').where('run_id', '=', run.id).where('type', '=', 'run.events_full').executeTakeFirst()
  if (told) return
  const subject = { project_id: run.projectId, machine_id: run.machineId, run_id: run.id }
  await recordEvent(tx, runtime, { type: 'run.events_full', ...subject, data: { kept_bytes_max: DOOR_LIMITS.runBytes } })
}
