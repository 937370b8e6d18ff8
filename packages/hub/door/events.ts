/** What a machine tells of its work, in batches; a batch that comes twice is stored once. */
import { AutovibeError, DOOR_LIMITS, EventBatch, EventBatchAck, type MachineEvent, StepFinished } from '@autovibe/contract'
import type { z } from 'zod'
import type { Tx } from '../database/database.ts'
import { recordEvents } from '../database/events.ts'
import type { DoorApp, DoorContext } from './door.ts'

type Told = z.output<typeof MachineEvent>

export function eventRoutes(app: DoorApp, { db, runtime }: DoorContext): void {
  app.post('/door/events', { schema: { body: EventBatch, response: { 200: EventBatchAck } } }, async ({ machineId, body }) => {
    const storedSeq = await db.transaction().execute(async (tx) => {
      const stream = { machine_id: machineId, boot_id: body.boot_id }
      await tx
        .insertInto('machine_event_streams')
        .values({ ...stream, stored_seq: 0n })
        .onConflict((oc) => oc.doNothing())
        .execute()
      const { stored_seq } = await tx
        .selectFrom('machine_event_streams')
        .select('stored_seq')
        .where('machine_id', '=', machineId)
        .where('boot_id', '=', body.boot_id)
        .forUpdate()
        .executeTakeFirstOrThrow()
      const fresh = body.events.filter((event) => BigInt(event.seq) > stored_seq)
      if (fresh.length === 0) return stored_seq
      const runs = await tx
        .selectFrom('runs')
        .select(['id', 'project_id'])
        .where('machine_id', '=', machineId)
        .where('id', 'in', [...new Set(fresh.map((event) => event.run_id))])
        .execute()
      const projectOf = new Map(runs.map((run) => [run.id, run.project_id]))
      for (const event of fresh) await storeStep(tx, event, projectOf.has(event.run_id))
      await recordEvents(
        tx,
        runtime,
        fresh.map((event) => ({
          type: event.type,
          at: plausible(event.at, runtime.now()),
          project_id: projectOf.get(event.run_id) ?? null,
          machine_id: machineId,
          run_id: event.run_id,
          data: event.data,
        })),
      )
      const last = BigInt(Math.max(...fresh.map((event) => event.seq)))
      await tx.updateTable('machine_event_streams').set({ stored_seq: last }).where('machine_id', '=', machineId).where('boot_id', '=', body.boot_id).execute()
      return last
    })
    return { stored_seq: Number(storedSeq) }
  })
}

async function storeStep(tx: Tx, event: Told, isOwnRun: boolean): Promise<void> {
  if (!isOwnRun) throw new AutovibeError('auth.forbidden', `The run ${event.run_id} is not this machine's.`)
  if (Buffer.byteLength(JSON.stringify(event.data)) > DOOR_LIMITS.eventBytes)
    throw new AutovibeError('request.too_large', `An event holds more than ${DOOR_LIMITS.eventBytes} bytes.`)
  if (event.type !== 'step.finished') return
  const step = StepFinished.safeParse(event.data)
  if (!step.success) throw new AutovibeError('request.invalid', 'step.finished is not of its form.', { internal: step.error.message })
  const { index, model, message_id, text, tools } = step.data
  const values = { model, message_id, text, tools: JSON.stringify(tools), ended_at: new Date(event.at) }
  await tx
    .insertInto('steps')
    .values({ run_id: event.run_id, index, started_at: new Date(event.at), ...values })
    .onConflict((oc) => oc.columns(['run_id', 'index']).doUpdateSet(values))
    .execute()
}

/** A machine's clock is its own affair: what lies in the future or far back is taken as now. */
function plausible(at: string, now: Date): Date {
  const told = new Date(at)
  return told <= now && now.getTime() - told.getTime() < 24 * 3600_000 ? told : now
}
