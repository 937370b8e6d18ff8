/** Changes the state of a machine and tells everyone, in one transaction. */
import { AutovibeError, type Json, type MachineId } from '@autovibe/contract'
import { type MachineTransition, nextMachineState } from '@autovibe/core/machines/transitions.ts'
import type { OperationNodeSource, Selectable } from 'kysely'
import { along } from '../../database/along.ts'
import type { Tx } from '../../database/database.ts'
import { eventRows, type NewEvent } from '../../database/events.ts'
import type { MachinesTable } from '../../database/schema.ts'
import type { Runtime } from '../../runtime.ts'
import { wakes } from '../engine/wake.ts'

export type MachineRow = Selectable<MachinesTable>

/**
 * The row, locked until the transaction ends; `not_found` when there is none. Not the strongest lock: rows of others that only refer to the machine (usage events of
 * a settlement) must not wait for it.
 */
export async function lockMachine(tx: Tx, machineId: MachineId): Promise<MachineRow> {
  const row = await tx.selectFrom('machines').selectAll().where('id', '=', machineId).forNoKeyUpdate().executeTakeFirst()
  if (!row) throw new AutovibeError('not_found', `There is no machine ${machineId}.`, { fix: 'autovibe ps --all' })
  return row
}

/** What else is done and told in the same exchange. */
export interface Also {
  readonly statements?: readonly OperationNodeSource[]
  readonly news?: readonly NewEvent[]
}

type MoreOfMachine = Partial<Omit<MachineRow, 'id' | 'state' | 'limits'>>

/** Moves the machine on and sets what else changes with it; a repeat of a change that holds already records nothing. */
export async function changeMachine(
  tx: Tx,
  runtime: Runtime,
  machine: MachineRow,
  transition: MachineTransition,
  reason: string | null = null,
  more: MoreOfMachine = {},
): Promise<MachineRow> {
  return changing(tx, runtime, machine, transition, reason, more).returning(wakes(machine.id).as('woken')).executeTakeFirstOrThrow()
}

/** The same where nobody waits for the state that it gets, and nobody shall be kept busy with it. */
export async function changeMachineUnheard(tx: Tx, runtime: Runtime, machine: MachineRow, transition: MachineTransition): Promise<MachineRow> {
  return changing(tx, runtime, machine, transition, null, {}).executeTakeFirstOrThrow()
}

/** The same with what the Hub wants of the agent from then on; an agent of which that is wanted already hears nothing. `also`: done and told with the change. */
export async function turnMachine(
  tx: Tx,
  runtime: Runtime,
  machine: MachineRow,
  transition: MachineTransition,
  control: MachineRow['control'],
  more: MoreOfMachine = {},
  also: Also = {},
): Promise<void> {
  const revision = control === machine.control ? machine.revision : machine.revision + 1n
  await changing(tx, runtime, machine, transition, null, { ...more, control, revision }, also)
    .returning(wakes(machine.id).as('woken'))
    .execute()
}

function changing(tx: Tx, runtime: Runtime, machine: MachineRow, transition: MachineTransition, reason: string | null, more: MoreOfMachine, also: Also = {}) {
  const state = nextMachineState(machine.state, transition)
  const data: Record<string, Json> = { name: machine.name, from: machine.state, to: state, reason }
  const { project_id, id: machine_id, run_id } = machine
  const news: readonly NewEvent[] = [
    ...(also.news ?? []),
    ...(state === machine.state ? [] : [{ type: 'machine.state_changed' as const, project_id, machine_id, run_id, data }]),
  ]
  return along(tx, ...(also.statements ?? []), ...(news.length === 0 ? [] : [eventRows(tx, runtime, news)]))
    .updateTable('machines')
    .set({ state, state_reason: reason, ...more })
    .where('id', '=', machine.id)
    .returningAll()
}

/** What the Hub wants of the agent; each change raises the revision, so that a waiting agent hears of it. */
export async function setControl(
  tx: Tx,
  machine: MachineRow,
  control: MachineRow['control'],
  more: Partial<Pick<MachineRow, 'run_id' | 'notice'>> = {},
): Promise<bigint> {
  const { revision } = await tx
    .updateTable('machines')
    .set((eb) => ({ control, ...more, revision: eb('revision', '+', 1n) }))
    .where('id', '=', machine.id)
    .returning(['revision', wakes(machine.id).as('woken')])
    .executeTakeFirstOrThrow()
  return revision
}
