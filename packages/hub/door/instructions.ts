/** What the Hub wants of a machine: the whole wish each time, answered at once or when it changes. */
import { DEFAULT_TRIGGERS, Instructions, InstructionsQuery, type MachineId, SOURCE_REF } from '@autovibe/contract'
import type { z } from 'zod'
import type { Database } from '../database/database.ts'
import type { Execs } from '../exec/execs.ts'
import type { DoorApp, DoorContext } from './door.ts'

const MAX_STEPS = 500

export function instructionRoutes(app: DoorApp, context: DoorContext): void {
  const { wakes } = context
  app.get('/door/instructions', { schema: { querystring: InstructionsQuery, response: { 200: Instructions } } }, async ({ machineId, query }, reply) => {
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort())
    const deadline = Date.now() + query.wait * 1000
    for (;;) {
      // Listening begins before the row is read, so that a change in between is heard.
      const change = wakes.next(machineId, Math.max(0, deadline - Date.now()), gone.signal)
      // Most wake-ups of a machine change nothing for its agent, and whoever waits for what did happen waits for this as well.
      const isOver = Date.now() >= deadline || gone.signal.aborted
      if (isOver || (await revisionOf(context.db, machineId)) > query.after) return instructionsFor(context, machineId)
      await change
    }
  })
}

async function revisionOf(db: Database, machineId: MachineId): Promise<number> {
  const { revision } = await db.selectFrom('machines').select('revision').where('id', '=', machineId).executeTakeFirstOrThrow()
  return Number(revision)
}

export async function instructionsFor(
  { db, execs }: { readonly db: Database; readonly execs: Execs },
  machineId: MachineId,
): Promise<z.input<typeof Instructions>> {
  const machine = await db.selectFrom('machines').selectAll().where('id', '=', machineId).executeTakeFirstOrThrow()
  const run = await db
    .selectFrom('runs')
    .leftJoin('budgets', 'budgets.id', 'runs.budget_id')
    .selectAll('runs')
    .select('budgets.limit')
    .where('runs.machine_id', '=', machineId)
    .where('runs.ended_at', 'is', null)
    .executeTakeFirst()
  // Once there is a checkpoint, the tree is what counts and not the source it began with.
  const source =
    machine.source_sha256 && !machine.head_checkpoint_id
      ? await db.selectFrom('sources').selectAll().where('sha256', '=', machine.source_sha256).executeTakeFirst()
      : undefined
  const project = await db.selectFrom('projects').select('triggers').where('id', '=', machine.project_id).executeTakeFirstOrThrow()
  const egress = await db.selectFrom('project_egress').select('destination').where('project_id', '=', machine.project_id).execute()
  return {
    revision: Number(machine.revision),
    control: machine.control,
    source: source ? { sha256: source.sha256, bytes: Number(source.bytes), ref: SOURCE_REF, branch: source.branch } : null,
    run:
      run && machine.control !== 'idle'
        ? {
            id: run.id,
            prompt: run.prompt,
            agent: run.agent as 'builtin' | 'claude-code',
            model: run.model,
            check: run.check_command,
            resume: run.resume,
            notice: machine.notice,
            max_steps: MAX_STEPS,
            triggers: { ...DEFAULT_TRIGGERS, ...project.triggers },
            limit: (run.limit ?? 0n).toString(),
          }
        : null,
    egress: egress.map(({ destination }) => destination),
    execs: execs.callsOf(machineId),
  }
}
