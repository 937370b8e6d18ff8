/** Looks at every machine that is awake, every few seconds: what it takes is counted, and one that has reached a limit ends, with its reason, before it harms others. */
import { AutovibeError, type Json, type MachineId } from '@autovibe/contract'
import { judge, judgeRoom, type Room, reasonOf, type Verdict } from '@autovibe/core/limits/verdict.ts'
import { MACHINE_STATES_AWAKE } from '@autovibe/core/machines/transitions.ts'
import { recordEvent } from '../database/events.ts'
import { isTimeToTake, type MeterRow, takeMeasured } from '../metering/meter.ts'
import { clockOf } from '../metering/run-clock.ts'
import type { EngineLog } from '../operations/engine/context.ts'
import { enqueue } from '../operations/engine/enqueue.ts'
import { wake } from '../operations/engine/wake.ts'
import { failMachine } from '../operations/fail-machine.ts'
import type { Ports } from '../operations/ports.ts'
import type { Usage } from '../substrates/substrate.ts'
import { tellDoubt } from './doubts.ts'

/** Often enough that the reason of an out-of-memory kill is known before anyone else takes note of the end. */
export const LOOK_EVERY_MS = 2_000
const MEASURE_TIMEOUT_MS = 10_000
/** So many machines are looked at at the same time. */
const AT_ONCE = 16

export interface LookDeps extends Pick<Ports, 'db' | 'runtime' | 'ledger' | 'substrate'> {
  readonly log: EngineLog
}

export interface MeterDeps extends LookDeps {
  /** What is left on the disk of the machines. */
  readonly room: () => Promise<Room>
}

/** What each machine had on the disk at the last look. */
export type Disks = ReadonlyMap<MachineId, number>

interface Looked {
  readonly machine: string
  readonly row: AwakeRow
  readonly usage: Usage
  readonly grownBytes: number
}

/** One look at all; answers what to remember for the next. What fails for one machine is logged, and the others are looked at all the same. */
export async function lookAtMachines(deps: MeterDeps, disks: Disks): Promise<Disks> {
  const rows = await awake(deps).execute()
  const looked: Looked[] = []
  for (let at = 0; at < rows.length; at += AT_ONCE) {
    const some = await Promise.all(rows.slice(at, at + AT_ONCE).map((row) => lookAt(deps, row, disks)))
    looked.push(...some.filter((one) => one !== null))
  }
  const full = judgeRoom(await deps.room(), looked)
  if (full) await end(deps, full.machine.row, full.verdict)
  return new Map(looked.map(({ row, usage }) => [row.machine_id, usage.diskBytes?.value ?? disks.get(row.machine_id) ?? 0]))
}

/** One look at this machine, for whoever must know now whether it has reached a limit. Nothing happens when it is not awake. */
export async function lookAtMachine(deps: LookDeps, machineId: MachineId): Promise<void> {
  const [row] = await awake(deps).where('machine_meters.machine_id', '=', machineId).execute()
  if (row) await lookAt(deps, row, new Map())
}

type AwakeRow = Awaited<ReturnType<ReturnType<typeof awake>['execute']>>[number]

const awake = ({ db }: LookDeps) =>
  db
    .selectFrom('machine_meters')
    .innerJoin('machines', 'machines.id', 'machine_meters.machine_id')
    .leftJoin('runs', 'runs.id', 'machines.run_id')
    .selectAll('machine_meters')
    .select([
      'machines.name',
      'machines.project_id',
      'machines.limits',
      'machines.last_heartbeat_at',
      'runs.id as current_run_id',
      'runs.ended_at',
      'runs.worked_ms',
      'runs.working_since',
    ])
    .where('machines.state', 'in', MACHINE_STATES_AWAKE)
    .where('machines.destroyed_at', 'is', null)

async function lookAt(deps: LookDeps, row: AwakeRow, disks: Disks): Promise<Looked | null> {
  try {
    const usage = await deps.substrate.measure(row.machine_id, AbortSignal.timeout(MEASURE_TIMEOUT_MS))
    // Between its start and the row that tells of it, it is not judged by what its last life did.
    if (usage === null || usage.life !== row.life) return null
    if (usage.doubt && !row.doubted && (await tellDoubt(deps, row, usage.doubt)))
      deps.log.warn({ machine: row.machine_id, ...usage.doubt }, 'a machine tells far less than its host saw of it')
    const now = deps.runtime.now()
    const run = row.current_run_id && row.worked_ms !== null ? clockOf({ ...row, id: row.current_run_id, worked_ms: row.worked_ms }, now) : null
    const limits = row.limits ?? deps.substrate.capabilities().defaultLimits
    const workedSeconds = run === null || run.isOver ? null : run.workedMs / 1000
    const verdict = row.reached ?? judge(row.name, limits, { ...usage, workedSeconds })
    if (verdict) await end(deps, row, verdict)
    else if (isTimeToTake(row satisfies MeterRow, usage, run, now.getTime())) await takeMeasured(deps, row.machine_id, usage)
    const disk = usage.diskBytes?.value ?? 0
    return { machine: row.name, row, usage, grownBytes: disk - (disks.get(row.machine_id) ?? disk) }
  } catch (error) {
    deps.log.error({ err: error, machine: row.machine_id }, 'a machine could not be looked at; it is tried again')
    return null
  }
}

/** Tells of the limit, once in a life, and has the machine ended: at once, or when whoever has it in hand lets go. */
async function end({ db, runtime, log }: LookDeps, row: AwakeRow, verdict: Verdict): Promise<void> {
  const { machine_id: machineId, project_id: projectId, life } = row
  await db.transaction().execute(async (tx) => {
    const told = await tx
      .updateTable('machine_meters')
      .set({ reached: JSON.stringify(verdict) })
      .where('machine_id', '=', machineId)
      .where('life', '=', life)
      .where('reached', 'is', null)
      .executeTakeFirst()
    if (told.numUpdatedRows === 0n) return
    log.warn({ machine: machineId, verdict }, 'a machine has reached a limit')
    const data: Record<string, Json> = { ...verdict }
    await recordEvent(tx, runtime, { type: 'machine.limit_reached', project_id: projectId, machine_id: machineId, run_id: row.current_run_id, data })
    await wake(tx, machineId)
  })
  try {
    await db.transaction().execute((tx) => enqueue(tx, runtime, failMachine, { machineId, reason: reasonOf(verdict) }, { projectId, machineId }))
  } catch (error) {
    // The next look asks again.
    if (!(error instanceof AutovibeError && error.code === 'conflict.busy')) throw error
  }
}
