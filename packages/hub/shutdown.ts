/** The orderly end of a Hub: machines are stopped with their state kept, operations end or park, then the lights go out. */
import { setTimeout as delay } from 'node:timers/promises'
import { AutovibeError, type MachineId } from '@autovibe/contract'
import { machineAllows } from '@autovibe/core/machines/transitions.ts'
import type { Database } from './database/database.ts'
import type { EngineLog } from './operations/engine/context.ts'
import type { Requests } from './operations/requests.ts'

/** Together with the rest of the end (`ending.ts`) less than the 60 s that `autovibe down` waits. */
const OPERATIONS_TIMEOUT_MS = 25_000
const LOOK_EVERY_MS = 25

/** A machine that the end of this Hub has stopped. */
export interface StoppedMachine {
  readonly name: string
  /** The next Hub starts it again; false for one whose run waited already. */
  readonly starts_again: boolean
}

/** Stops every machine that can be stopped, and waits for what is under way; what does not end in time goes on with the next Hub. */
export async function stopMachines(db: Database, requests: Requests, log: EngineLog): Promise<StoppedMachine[]> {
  const deadline = Date.now() + OPERATIONS_TIMEOUT_MS
  const asked = new Set<MachineId>()
  for (;;) {
    const living = await db.selectFrom('machines').select(['id', 'state']).where('state', 'in', ['ready', 'running', 'paused']).execute()
    for (const machine of living) {
      if (machineAllows(machine.state, 'stop') && (await stopOne(db, requests, machine.id))) asked.add(machine.id)
    }
    const { busy } = await db
      .selectFrom('operations')
      .select((eb) => eb.fn.countAll<bigint>().as('busy'))
      .where('ended_at', 'is', null)
      .where('state', '<>', 'stuck')
      .executeTakeFirstOrThrow()
    if (living.length === 0 && busy === 0n) break
    if (Date.now() > deadline) {
      log.warn({ machines: living.length, operations: Number(busy) }, 'the Hub ends before everything is at rest; the next one goes on')
      break
    }
    await delay(LOOK_EVERY_MS)
  }
  return stoppedOf(db, asked)
}

/** False when it is not this time that it can be stopped. */
async function stopOne(db: Database, requests: Requests, machineId: MachineId): Promise<boolean> {
  try {
    await db.transaction().execute((tx) => requests.stopMachine(tx, machineId, 'shutdown'))
    return true
  } catch (error) {
    // An operation has it in hand, or it changed state just now; the next look tells.
    if (error instanceof AutovibeError && ['conflict.busy', 'conflict.state'].includes(error.code)) return false
    throw error
  }
}

async function stoppedOf(db: Database, asked: ReadonlySet<MachineId>): Promise<StoppedMachine[]> {
  if (asked.size === 0) return []
  const rows = await db
    .selectFrom('machines')
    .select(['name', 'restarts_left'])
    .where('id', 'in', [...asked])
    .where('state', '=', 'stopped')
    .orderBy('name')
    .execute()
  return rows.map(({ name, restarts_left }) => ({ name, starts_again: restarts_left > 0 }))
}
