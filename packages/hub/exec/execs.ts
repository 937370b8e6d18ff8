/** All execs of this Hub: how many there may be, who may join which, and which ones wait for their machine. They live in memory, as long as their connections. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { AutovibeError, EXEC_LIMITS, type ExecId, type MachineId } from '@autovibe/contract'
import { assertMachineAllows } from '@autovibe/core/machines/transitions.ts'
import type { Database } from '../database/database.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import type { EngineLog } from '../operations/engine/context.ts'
import { lockMachine, setControl } from '../operations/steps/machine-state.ts'
import type { Runtime } from '../runtime.ts'
import { EXEC_TIMES, type ExecTimes, HubExec } from './hub-exec.ts'
import { createExecRecord, type ExecOrder } from './record.ts'

export interface ExecsOptions {
  readonly db: Database
  readonly runtime: Runtime
  readonly log: EngineLog
  readonly times?: Partial<ExecTimes>
}

/** Room for one exec, held while its request is written down. */
export interface ExecPlace {
  /** From now on its client may come. */
  fill(order: ExecOrder): void
  /** Gives the room back, if it was not filled. */
  leave(): void
}

export interface Execs {
  /** Throws `request.rate_limited` when there is no room for another. */
  reserve(machineId: MachineId): ExecPlace
  /** The exec that this ticket opens, once. Throws `not_found`, `auth.missing`. */
  forClient(id: string, ticket: string): HubExec
  /** The exec that waits for this machine. Throws `not_found` for one of another machine as for one that is not there, `conflict.state` for one that has its machine. */
  forMachine(machineId: MachineId, id: string): HubExec
  /** What the machine shall dial. */
  callsOf(machineId: MachineId): ExecId[]
  readonly size: number
  readonly connectMs: number
  /** Ends all of them, and resolves when their records are written. */
  close(): Promise<void>
}

export function createExecs({ db, runtime, log, times = {} }: ExecsOptions): Execs {
  const all = new Map<ExecId, HubExec>()
  const reserved = new Map<MachineId, number>()
  const allTimes = { ...EXEC_TIMES, ...times }
  const record = createExecRecord({ db, runtime, log })

  const countOf = (machineId: MachineId): number =>
    [...all.values()].filter(({ order }) => order.machine.id === machineId).length + (reserved.get(machineId) ?? 0)

  const add = (order: ExecOrder): void => {
    const exec = new HubExec(order, {
      times: allTimes,
      record,
      call: () => callMachine(db, order.machine.id),
      warn: (fields, message) => log.warn(fields, message),
      onOver: () => void all.delete(order.id),
    })
    all.set(order.id, exec)
  }

  return {
    connectMs: allTimes.connectMs,
    reserve(machineId) {
      const held = [...reserved.values()].reduce((sum, count) => sum + count, 0)
      if (all.size + held >= EXEC_LIMITS.inAll) throw full(`${EXEC_LIMITS.inAll} commands run through this Hub`)
      if (countOf(machineId) >= EXEC_LIMITS.perMachine) throw full(`${EXEC_LIMITS.perMachine} commands run in this machine`)
      reserved.set(machineId, (reserved.get(machineId) ?? 0) + 1)
      let isHeld = true
      const leave = (): void => {
        if (!isHeld) return
        isHeld = false
        const left = (reserved.get(machineId) ?? 1) - 1
        if (left > 0) reserved.set(machineId, left)
        else reserved.delete(machineId)
      }
      return {
        leave,
        fill(order) {
          leave()
          add(order)
        },
      }
    },
    forClient(id, ticket) {
      const exec = all.get(id as ExecId)
      if (!exec || exec.hasClient)
        throw new AutovibeError('not_found', 'No such command waits for a client.', { fix: 'Ask for one: POST /v1/machines/{machine}/exec' })
      if (!isSame(ticket, exec.order.ticket))
        throw new AutovibeError('auth.missing', 'The ticket does not open this command.', { fix: 'Send the ticket of its answer.' })
      return exec
    },
    forMachine(machineId, id) {
      const exec = all.get(id as ExecId)
      if (exec?.order.machine.id !== machineId) throw new AutovibeError('not_found', 'No such command waits for this machine.')
      if (!exec.isCalling) throw new AutovibeError('conflict.state', 'The command has its machine already.')
      return exec
    },
    callsOf: (machineId) => [...all.values()].filter((exec) => exec.isCalling && exec.order.machine.id === machineId).map(({ order }) => order.id),
    get size() {
      return all.size
    },
    async close() {
      for (const exec of all.values()) exec.cut()
      await record.settled()
    },
  }
}

/** Raises the revision of the machine's instructions, which name the exec from now on. */
function callMachine(db: Database, machineId: MachineId): Promise<void> {
  return transactionWithRetry(db, async (tx) => {
    const machine = await lockMachine(tx, machineId)
    assertMachineAllows(machine, 'exec')
    await setControl(tx, machine, machine.control)
  })
}

const full = (what: string): AutovibeError =>
  new AutovibeError('request.rate_limited', `${what} already, the most there may be.`, { fix: 'Try again when one has ended.' })

function isSame(one: string, other: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(one), hash(other))
}
