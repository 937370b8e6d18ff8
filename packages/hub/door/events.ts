/** What a machine tells of its work, in batches; a batch that comes twice is stored once. */
import {
  AutovibeError,
  DOOR_LIMITS,
  EventBatch,
  EventBatchAck,
  type MachineEvent,
  type MachineId,
  type ProjectId,
  type RunId,
  StepFinished,
} from '@autovibe/contract'
import type { z } from 'zod'
import type { Tx } from '../database/database.ts'
import { recordEvents } from '../database/events.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import { assertBoot } from './boot.ts'
import type { DoorApp, DoorContext } from './door.ts'
import { ROW_BYTES, type RunRoom } from './run-room.ts'

type Told = z.output<typeof MachineEvent>

export function eventRoutes(app: DoorApp, { db, runtime, room }: DoorContext): void {
  app.post('/door/events', { schema: { body: EventBatch, response: { 200: EventBatchAck } } }, async ({ machineId, body }) => {
    const { storedSeq, kept, full } = await transactionWithRetry(db, async (tx) => {
      await assertBoot(tx, machineId, body.boot_id)
      const stored = await lockStream(tx, machineId, body.boot_id)
      const fresh = body.events.filter((event) => BigInt(event.seq) > stored)
      if (fresh.length === 0) return { storedSeq: stored, kept: [], full: [] }
      const told = await sortByRun(tx, machineId, fresh)
      const { kept, full } = await letIn(tx, room, machineId, told)
      const projectOf = new Map(kept.map((run) => [run.id, run.projectId]))
      const events = fresh.filter((event) => projectOf.has(event.run_id))
      for (const event of events) await storeStep(tx, event, runtime.now())
      await recordEvents(
        tx,
        runtime,
        events.map((event) => ({
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
      return { storedSeq: last, kept, full }
    })
    for (const run of kept) room.add(run.id, run.bytes)
    const [refusal] = full.map((run) => room.close(run.id))
    if (refusal) throw refusal
    return { stored_seq: Number(storedSeq) }
  })
}

/** The number of the newest event that is stored of this boot; nobody else adds to it until the transaction ends. */
async function lockStream(tx: Tx, machineId: MachineId, bootId: string): Promise<bigint> {
  await tx
    .insertInto('machine_event_streams')
    .values({ machine_id: machineId, boot_id: bootId, stored_seq: 0n })
    .onConflict((oc) => oc.doNothing())
    .execute()
  const { stored_seq } = await tx
    .selectFrom('machine_event_streams')
    .select('stored_seq')
    .where('machine_id', '=', machineId)
    .where('boot_id', '=', bootId)
    .forUpdate()
    .executeTakeFirstOrThrow()
  return stored_seq
}

interface ToldOfRun {
  readonly id: RunId
  readonly projectId: ProjectId
  readonly bytes: number
}

/** The runs that the events speak of, each with what they would take. Throws when a run is another machine's or an event too long. */
async function sortByRun(tx: Tx, machineId: MachineId, events: readonly Told[]): Promise<ToldOfRun[]> {
  const bytesOf = new Map<RunId, number>()
  for (const event of events) {
    const bytes = Buffer.byteLength(JSON.stringify(event.data))
    if (bytes > DOOR_LIMITS.eventBytes) throw new AutovibeError('request.too_large', `An event holds more than ${DOOR_LIMITS.eventBytes} bytes.`)
    bytesOf.set(event.run_id, (bytesOf.get(event.run_id) ?? 0) + bytes + ROW_BYTES)
  }
  const runs = await tx
    .selectFrom('runs')
    .select(['id', 'project_id'])
    .where('machine_id', '=', machineId)
    .where('id', 'in', [...bytesOf.keys()])
    .execute()
  const projectOf = new Map(runs.map((run) => [run.id, run.project_id]))
  return [...bytesOf].map(([id, bytes]) => {
    const projectId = projectOf.get(id)
    if (!projectId) throw new AutovibeError('auth.forbidden', `The run ${id} is not this machine's.`)
    return { id, projectId, bytes }
  })
}

async function letIn(tx: Tx, room: RunRoom, machineId: MachineId, runs: readonly ToldOfRun[]): Promise<{ kept: ToldOfRun[]; full: ToldOfRun[] }> {
  const [kept, full]: [ToldOfRun[], ToldOfRun[]] = [[], []]
  for (const run of runs) (await room.hasRoom(tx, { ...run, machineId }, run.bytes)) ? kept.push(run) : full.push(run)
  return { kept, full }
}

/** A step has a row from its first word on, so that one under way can be seen. */
async function storeStep(tx: Tx, event: Told, now: Date): Promise<void> {
  const at = plausible(event.at, now)
  if (event.type === 'step.started') {
    const index = StepFinished.shape.index.safeParse(event.data['index'])
    if (!index.success) throw new AutovibeError('request.invalid', 'step.started is not of its form.', { internal: index.error.message })
    const begun = { run_id: event.run_id, index: index.data, model: '', message_id: null, text: '', tools: '[]', started_at: at, ended_at: null }
    await tx
      .insertInto('steps')
      .values(begun)
      .onConflict((oc) => oc.doNothing())
      .execute()
  }
  if (event.type !== 'step.finished') return
  const step = StepFinished.safeParse(event.data)
  if (!step.success) throw new AutovibeError('request.invalid', 'step.finished is not of its form.', { internal: step.error.message })
  const { index, model, message_id, text, tools } = step.data
  const values = { model, message_id, text, tools: JSON.stringify(tools), ended_at: at }
  await tx
    .insertInto('steps')
    .values({ run_id: event.run_id, index, started_at: at, ...values })
    .onConflict((oc) => oc.columns(['run_id', 'index']).doUpdateSet(values))
    .execute()
}

/** A machine's clock is its own affair: what lies in the future or far back is taken as now. */
function plausible(at: string, now: Date): Date {
  const told = new Date(at)
  return told <= now && now.getTime() - told.getTime() < 24 * 3600_000 ? told : now
}
