/** What a machine tells of its work, in batches; a batch that comes twice is stored once. */
import { AutovibeError, DOOR_LIMITS, EventBatch, EventBatchAck, type MachineEvent, type MachineId, type RunId } from '@autovibe/contract'
import type { Selectable } from 'kysely'
import type { z } from 'zod'
import type { Tx } from '../database/database.ts'
import { type NewEvent, recordEvents } from '../database/events.ts'
import type { RunsTable } from '../database/schema.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import { stepInterrupted } from '../operations/steps/interrupted-steps.ts'
import { assertBoot } from './boot.ts'
import type { DoorApp, DoorContext } from './door.ts'
import { ROW_BYTES, type RunRoom } from './run-room.ts'
import { storeStep } from './steps.ts'

type Told = z.output<typeof MachineEvent>

export function eventRoutes(app: DoorApp, { db, runtime, room }: DoorContext): void {
  app.post('/door/events', { schema: { body: EventBatch, response: { 200: EventBatchAck } } }, async ({ machineId, body }) => {
    const { storedSeq, kept, full } = await transactionWithRetry(db, async (tx) => {
      await assertBoot(tx, machineId, body.boot_id)
      const runs = await lockRuns(tx, machineId, body.events)
      const stored = await lockStream(tx, machineId, body.boot_id)
      const fresh = body.events.filter((event) => BigInt(event.seq) > stored)
      if (fresh.length === 0) return { storedSeq: stored, kept: [], full: [] }
      const { kept, full } = await letIn(tx, room, machineId, sortByRun(runs, fresh))
      const keptOf = new Map(kept.map(({ run }) => [run.id, run]))
      const news: NewEvent[] = []
      for (const event of fresh) {
        const run = keptOf.get(event.run_id)
        if (!run) continue
        const at = plausible(event.at, runtime.now())
        news.push({ type: event.type, at, project_id: run.project_id, machine_id: machineId, run_id: run.id, data: event.data })
        const cut = await storeStep(tx, event, at, run.state === 'running')
        if (cut !== null) news.push(stepInterrupted(run, cut))
      }
      await recordEvents(tx, runtime, news)
      const last = BigInt(Math.max(...fresh.map((event) => event.seq)))
      await tx.updateTable('machine_event_streams').set({ stored_seq: last }).where('machine_id', '=', machineId).where('boot_id', '=', body.boot_id).execute()
      return { storedSeq: last, kept, full }
    })
    for (const { run, bytes } of kept) room.add(run.id, bytes)
    const [refusal] = full.map(({ run }) => room.close(run.id))
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

type ToldRun = Pick<Selectable<RunsTable>, 'id' | 'project_id' | 'machine_id' | 'state'>

/**
 * The runs that the events speak of; whether one is at work does not change until the transaction ends. Before anything else is locked: who ends a run locks it first
 * too, and then its machine. Throws when a run is another machine's.
 */
async function lockRuns(tx: Tx, machineId: MachineId, events: readonly Told[]): Promise<Map<RunId, ToldRun>> {
  const ids = [...new Set(events.map((event) => event.run_id))]
  const rows = await tx
    .selectFrom('runs')
    .select(['id', 'project_id', 'machine_id', 'state'])
    .where('machine_id', '=', machineId)
    .where('id', 'in', ids)
    .orderBy('id')
    .forShare()
    .execute()
  const runs = new Map(rows.map((run) => [run.id, run]))
  for (const id of ids) if (!runs.has(id)) throw new AutovibeError('auth.forbidden', `The run ${id} is not this machine's.`)
  return runs
}

interface ToldOfRun {
  readonly run: ToldRun
  readonly bytes: number
}

/** The runs with what the events about them would take. Throws when an event is too long. */
function sortByRun(runs: ReadonlyMap<RunId, ToldRun>, events: readonly Told[]): ToldOfRun[] {
  const bytesOf = new Map<RunId, number>()
  for (const event of events) {
    const bytes = Buffer.byteLength(JSON.stringify(event.data))
    if (bytes > DOOR_LIMITS.eventBytes) throw new AutovibeError('request.too_large', `An event holds more than ${DOOR_LIMITS.eventBytes} bytes.`)
    bytesOf.set(event.run_id, (bytesOf.get(event.run_id) ?? 0) + bytes + ROW_BYTES)
  }
  return [...runs.values()].flatMap((run) => {
    const bytes = bytesOf.get(run.id)
    return bytes === undefined ? [] : [{ run, bytes }]
  })
}

async function letIn(tx: Tx, room: RunRoom, machineId: MachineId, told: readonly ToldOfRun[]): Promise<{ kept: ToldOfRun[]; full: ToldOfRun[] }> {
  const [kept, full]: [ToldOfRun[], ToldOfRun[]] = [[], []]
  for (const each of told) {
    const { id, project_id: projectId } = each.run
    if (await room.hasRoom(tx, { id, machineId, projectId }, each.bytes)) kept.push(each)
    else full.push(each)
  }
  return { kept, full }
}

/** A machine's clock is its own affair: what lies in the future or far back is taken as now. */
function plausible(at: string, now: Date): Date {
  const told = new Date(at)
  return told <= now && now.getTime() - told.getTime() < 24 * 3600_000 ? told : now
}
