/** Ends the steps that nobody works on any more (the run was paused or ended, or the agent died), so that none stays open for ever. */
import { type Selectable, sql } from 'kysely'
import type { Tx } from '../../database/database.ts'
import { type NewEvent, recordEvents } from '../../database/events.ts'
import type { RunsTable } from '../../database/schema.ts'
import type { Runtime } from '../../runtime.ts'

type RunOfSteps = Pick<Selectable<RunsTable>, 'id' | 'project_id' | 'machine_id'>

/** An agent has a few steps open at once; one that opens more is not told of each. */
const TOLD_MAX = 100

/** Ends every open step of the run as interrupted. The agent may take one up again under its number; it then ends anew. */
export async function interruptSteps(tx: Tx, runtime: Runtime, run: RunOfSteps): Promise<void> {
  const ended = await tx
    .updateTable('steps')
    .set({ outcome: 'interrupted', ended_at: sql<Date>`greatest(started_at, ${runtime.now()}::timestamptz)` })
    .where('run_id', '=', run.id)
    .where('ended_at', 'is', null)
    .returning('index')
    .execute()
  const told = ended
    .map(({ index }) => index)
    .sort((a, b) => a - b)
    .slice(-TOLD_MAX)
  await recordEvents(
    tx,
    runtime,
    told.map((index) => stepInterrupted(run, index)),
  )
}

/** The event of one step that was interrupted. */
export const stepInterrupted = ({ id, project_id, machine_id }: RunOfSteps, index: number): NewEvent => ({
  type: 'step.interrupted',
  project_id,
  machine_id,
  run_id: id,
  data: { index },
})
