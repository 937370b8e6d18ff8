/** The steps that bring a machine to life and end it; spawn undoes itself with what destroy does. */
import { AutovibeError, type CheckpointId, type MachineId } from '@autovibe/contract'
import type { Tx } from '../../database/database.ts'
import { assertWithinLimits, openMeter, takeMeter } from '../../metering/meter.ts'
import type { EnsureStep, StepContext, UntilStep } from '../engine/define.ts'
import type { Ports } from '../ports.ts'
import { keepHandBack } from './budgets.ts'
import { changeMachine, lockMachine, setControl } from './machine-state.ts'
import { startClock } from './run-clock.ts'
import { changeRun, endOpenRun, openRunOf } from './run-state.ts'

export interface OnMachine {
  readonly machineId: MachineId
}
type Context<I extends OnMachine = OnMachine, O = unknown> = StepContext<Ports, I, O>

/** How long a machine may take from start to its first word, in ms. */
export const REGISTER_DEADLINE_MS = 60_000

/** Books where the machine runs, and refuses a place too weak for what it shall run. */
export async function placeMachine({ input, ports }: Context, tx: Tx): Promise<null> {
  const machine = await lockMachine(tx, input.machineId)
  await changeMachine(tx, ports.runtime, machine, 'provision', null, tierOf(ports, machine))
  return null
}

/** The tier that the machine gets here and now, for its row. Throws `isolation.too_weak` where nobody has accepted a weak one. */
function tierOf(ports: Ports, { allow_unisolated: isAccepted }: { readonly allow_unisolated: boolean }) {
  const { tier, isolated, summary } = ports.substrate.capabilities()
  if (!isolated && !isAccepted) {
    throw new AutovibeError('isolation.too_weak', `This host can only offer: ${summary}.`, {
      fix: 'autovibe doctor names what is missing; --allow-unisolated accepts it.',
    })
  }
  return { substrate: tier.substrate, isolation: tier.isolation, copy_tier: tier.copy }
}

/** A clone of a large disk, a boot of a virtual computer: on a remote substrate these take minutes, in ms. */
export const MACHINE_TIMEOUT_MS = 15 * 60_000

export const machineExists: EnsureStep<Ports, OnMachine & { readonly from: CheckpointId | null }, unknown, null> = {
  timeoutMs: MACHINE_TIMEOUT_MS,
  do: async ({ input, ports, signal }) => {
    const { name, project_id, token_hash, limits } = await ports.db
      .selectFrom('machines')
      .select(['name', 'project_id', 'token_hash', 'limits'])
      .where('id', '=', input.machineId)
      .executeTakeFirstOrThrow()
    await ports.substrate.create(
      {
        machineId: input.machineId,
        name,
        from: await snapshotOf(ports, input.from),
        token: ports.tokenFor(input.machineId, token_hash),
        limits: limits ?? undefined,
        group: project_id,
      },
      signal,
    )
    return { done: null }
  },
  undo: machineAbsent,
}

/** The handle of a checkpoint's snapshot; null for an empty tree. */
async function snapshotOf(ports: Ports, checkpointId: CheckpointId | null): Promise<string | null> {
  if (checkpointId === null) return null
  const checkpoint = await ports.db.selectFrom('checkpoints').select('snapshot').where('id', '=', checkpointId).executeTakeFirst()
  if (checkpoint?.snapshot) return checkpoint.snapshot
  throw new AutovibeError('substrate.snapshot_gone', `The snapshot of checkpoint ${checkpointId} no longer exists on this substrate.`, {
    fix: 'autovibe checkpoint list shows others.',
  })
}

export async function machineBoots({ input, ports }: Context, tx: Tx): Promise<null> {
  return bootMachine(ports, tx, input.machineId, null)
}

/** The same with a reason that people read. */
export async function bootMachine(ports: Ports, tx: Tx, machineId: MachineId, reason: string | null): Promise<null> {
  const machine = await lockMachine(tx, machineId)
  // The host, or what its Hub was told to use, may have changed since the machine was made.
  const tier = tierOf(ports, machine)
  await changeMachine(tx, ports.runtime, machine, 'boot', reason, {
    ...tier,
    registered_at: null,
    boot_id: null,
    quiet_revision: null,
    last_heartbeat_at: null,
  })
  return null
}

export const machineRuns: EnsureStep<Ports, OnMachine, unknown, null> = {
  timeoutMs: MACHINE_TIMEOUT_MS,
  do: async ({ input, ports, signal }) => {
    // They may have been changed since it was made.
    const { limits } = await ports.db.selectFrom('machines').select('limits').where('id', '=', input.machineId).executeTakeFirstOrThrow()
    if (limits !== null) await ports.substrate.limit(input.machineId, limits, signal)
    await ports.substrate.start(input.machineId, signal)
    await openMeter(ports, input.machineId, signal)
    return { done: null }
  },
  undo: machineHalted,
}

export const machineRegistered: UntilStep<Ports, OnMachine, unknown, { bootId: string }> = {
  deadlineMs: REGISTER_DEADLINE_MS,
  ready: async ({ input }, tx) => {
    const { boot_id, registered_at } = await lockMachine(tx, input.machineId)
    await assertWithinLimits(tx, input.machineId)
    return boot_id && registered_at ? { bootId: boot_id } : null
  },
}

/** Gives the machine its open run, or lets it rest; from here on no Hub has to start it by itself. */
export async function machineWorks({ input, ports }: Context, tx: Tx): Promise<null> {
  const machine = await lockMachine(tx, input.machineId)
  const run = await tx.selectFrom('runs').selectAll().where('machine_id', '=', input.machineId).where('ended_at', 'is', null).forUpdate().executeTakeFirst()
  if (!run) {
    await setControl(tx, await changeMachine(tx, ports.runtime, machine, 'rest', null, { restarts_left: 0 }), 'idle')
    return null
  }
  const begun = await changeRun(tx, ports.runtime, ports.ledger, run, 'start', null)
  if (begun !== run) await keepHandBack(ports, tx, run.id)
  // One that the end of a Hub has left running begins to count again.
  else if (run.state === 'running') await startClock(tx, ports.runtime, run.id)
  await setControl(tx, await changeMachine(tx, ports.runtime, machine, 'work', null, { run_id: run.id, restarts_left: 0 }), 'go', { run_id: run.id })
  return null
}

/** What it took by its end is counted before anything forgets it. */
export async function machineHalted({ input, ports, signal }: Context): Promise<void> {
  await ports.substrate.stop(input.machineId, signal)
  await takeMeter(ports, input.machineId, signal)
}

export async function machineAbsent(context: Context): Promise<void> {
  await machineHalted(context)
  await context.ports.substrate.destroy(context.input.machineId, context.signal)
}

/** The rows of a machine that is no more: run ended, budget closed, token void. */
export async function machineGone({ input, ports, now, reason }: Context, tx: Tx): Promise<void> {
  const machine = await lockMachine(tx, input.machineId)
  await closeMachine(ports, tx, input.machineId, reason)
  if (machine.state === 'destroyed') return
  await changeMachine(tx, ports.runtime, machine, 'destroy', reason?.message ?? null, { destroyed_at: now, token_hash: null, control: 'idle' })
}

/** Ends the run and closes the budget; the machine can speak no more. The token last: changing it takes a stronger lock, which nobody should wait for. */
export async function closeMachine(ports: Ports, tx: Tx, machineId: MachineId, reason: { readonly message: string } | null): Promise<void> {
  await endOpenRun(tx, ports.runtime, ports.ledger, machineId, reason ? 'fail' : 'cancel', reason?.message ?? 'The machine was destroyed.')
  const budgets = await tx
    .selectFrom('budgets')
    .select('id')
    .where('scope', '=', 'machine')
    .where('scope_id', '=', machineId)
    .where('closed_at', 'is', null)
    .execute()
  for (const { id } of budgets) await ports.ledger.closeBudget(tx, id)
  await tx.updateTable('machines').set({ token_hash: null }).where('id', '=', machineId).execute()
}

/** A machine that ended against our will; what it left is kept for start, rollback and fork. Its run fails too, or keeps waiting for a start. */
export async function machineFailed(ports: Ports, tx: Tx, machineId: MachineId, message: string, run: 'fails' | 'waits' = 'fails'): Promise<void> {
  const machine = await lockMachine(tx, machineId)
  if (machine.state === 'destroyed' || machine.state === 'failed') return
  const open = run === 'waits' ? await openRunOf(tx, machineId) : null
  if (open) {
    await changeRun(tx, ports.runtime, ports.ledger, open, 'pause', message)
    await tx.updateTable('runs').set({ resume: true }).where('id', '=', open.id).execute()
  } else {
    await endOpenRun(tx, ports.runtime, ports.ledger, machineId, 'fail', message)
  }
  const restarts = run === 'fails' ? { restarts_left: 0 } : {}
  await setControl(tx, await changeMachine(tx, ports.runtime, machine, 'fail', message, restarts), open ? 'park' : 'idle')
}

/** The same call as a step: there is nothing to hand on. */
export const done =
  <C>(act: (context: C) => Promise<void>) =>
  async (context: C): Promise<{ done: null }> => {
    await act(context)
    return { done: null }
  }
