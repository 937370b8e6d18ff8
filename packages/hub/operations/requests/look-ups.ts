/** What a request names, found and checked: project, machine, run, checkpoint. */
import { AutovibeError, type CheckpointId, type MachineId, type ProjectId, type RunId } from '@autovibe/contract'
import { greatest, least } from '@autovibe/core/budgets/extremes.ts'
import type { Tx } from '../../database/database.ts'
import type { Ports } from '../ports.ts'
import { projectBudget } from '../steps/budgets.ts'
import { type CheckpointRow, checkpointGone } from '../steps/checkpoint-state.ts'
import { lockMachine, type MachineRow } from '../steps/machine-state.ts'
import { lockRun, type RunRow } from '../steps/run-state.ts'

export async function projectByName(tx: Tx, nameOrId: string) {
  const project = await tx
    .selectFrom('projects')
    .selectAll()
    .where((eb) => eb.or([eb('name', '=', nameOrId), eb('id', '=', nameOrId as ProjectId)]))
    .executeTakeFirst()
  if (!project) throw new AutovibeError('not_found', `There is no project ${nameOrId}.`, { fix: 'autovibe run … --project PATH imports one.' })
  return project
}

/** The living machine of this name or id, locked. */
export async function machineByName(tx: Tx, nameOrId: string): Promise<MachineRow> {
  const found = await tx
    .selectFrom('machines')
    .select('id')
    .where('destroyed_at', 'is', null)
    .where((eb) => eb.or([eb('name', '=', nameOrId), eb('id', '=', nameOrId as MachineId)]))
    .executeTakeFirst()
  if (!found) throw new AutovibeError('not_found', `There is no machine ${nameOrId}.`, { fix: 'autovibe ps' })
  return lockMachine(tx, found.id)
}

/** The machine first, as everyone locks them: two that lock in another order would wait for each other. */
export async function lockRunAndMachine(tx: Tx, runId: RunId): Promise<{ run: RunRow; machine: MachineRow }> {
  const found = await tx.selectFrom('runs').select('machine_id').where('id', '=', runId).executeTakeFirst()
  const machine = found && (await lockMachine(tx, found.machine_id))
  const run = await lockRun(tx, runId)
  if (!machine || !run) throw new AutovibeError('not_found', `There is no run ${runId}.`, { fix: 'autovibe ps' })
  return { run, machine }
}

/** Held until the caller's transaction ends: retention finds it in use, or it is found expired (see expire-checkpoints.ts). */
export async function verifiedCheckpoint(tx: Tx, checkpointId: CheckpointId, projectId?: ProjectId): Promise<CheckpointRow> {
  const checkpoint = await tx.selectFrom('checkpoints').selectAll().where('id', '=', checkpointId).forShare().executeTakeFirst()
  if (!checkpoint || (projectId && checkpoint.project_id !== projectId)) {
    throw new AutovibeError('not_found', `There is no checkpoint ${checkpointId} of this project.`, { fix: 'autovibe checkpoint list' })
  }
  if (checkpoint.state === 'verified') return checkpoint
  if (checkpoint.state === 'expired') throw checkpointGone(checkpoint)
  throw new AutovibeError('checkpoint.not_verified', `Checkpoint ${checkpointId} is ${checkpoint.state}; only a verified one can be used.`, {
    retryable: checkpoint.state !== 'corrupt' && checkpoint.state !== 'failed',
    fix: `autovibe checkpoint show ${checkpointId}`,
  })
}

/** A checkpoint that can be looked at again: it is in the store, and nobody else looks at it. */
export async function checkpointToVerify(tx: Tx, checkpointId: CheckpointId): Promise<CheckpointRow> {
  const checkpoint = await tx.selectFrom('checkpoints').selectAll().where('id', '=', checkpointId).forUpdate().executeTakeFirst()
  if (!checkpoint) throw new AutovibeError('not_found', `There is no checkpoint ${checkpointId}.`, { fix: 'autovibe checkpoint list' })
  const { state, machine_id } = checkpoint
  if (state === 'failed' || state === 'expired')
    throw new AutovibeError('conflict.state', `Checkpoint ${checkpointId} is ${state}: nothing of it is kept.`, {
      fix: `Use another one: autovibe checkpoint list ${machine_id}`,
    })
  if (state !== 'verified' && state !== 'corrupt')
    throw new AutovibeError('checkpoint.not_verified', `Checkpoint ${checkpointId} is ${state}: it is still being stored and read back for the first time.`, {
      retryable: true,
      fix: `Wait until it is verified: autovibe checkpoint show ${checkpointId}`,
    })
  const underWay = await tx
    .selectFrom('operations')
    .select('id')
    .where('machine_id', '=', machine_id)
    .where('checkpoint_id', '=', checkpointId)
    .where('kind', '=', 'verify-checkpoint')
    .where('ended_at', 'is', null)
    .executeTakeFirst()
  if (underWay) throw new AutovibeError('conflict.busy', `Checkpoint ${checkpointId} is being verified.`, { fix: `autovibe operation show ${underWay.id}` })
  return checkpoint
}

/** The checkpoint that an earlier machine took of the very same source before its agent did anything: starting from it costs no import. */
export async function startOfProject(tx: Tx, project: { id: ProjectId; source_sha256: string | null }): Promise<CheckpointRow | null> {
  if (!project.source_sha256) return null
  const start = await tx
    .selectFrom('checkpoints')
    .selectAll()
    .where('project_id', '=', project.id)
    .where('source_sha256', '=', project.source_sha256)
    .where('trigger', '=', 'start')
    .where('state', '=', 'verified')
    .where('snapshot', 'is not', null)
    .orderBy('id', 'desc')
    .limit(1)
    .forShare()
    .executeTakeFirst()
  return start ?? null
}

/**
 * Whether this machine can only hold the untouched source: nothing of an earlier machine, no checkpoint yet, and not one model call. Only then is a
 * checkpoint of it the `start` that later machines of the project begin from; a machine's own word does not make it one.
 */
export async function isUntouched(tx: Tx, machine: MachineRow): Promise<boolean> {
  if (machine.parent_checkpoint_id || machine.head_checkpoint_id || !machine.source_sha256) return false
  const held = await tx
    .selectFrom('reservations')
    .innerJoin('budgets', 'budgets.id', 'reservations.budget_id')
    .leftJoin('runs', 'runs.budget_id', 'budgets.id')
    .select('reservations.id')
    .where((eb) => eb.or([eb('runs.machine_id', '=', machine.id), eb.and([eb('budgets.scope', '=', 'machine'), eb('budgets.scope_id', '=', machine.id)])]))
    .executeTakeFirst()
  return held === undefined
}

/**
 * What is left of a machine's budget, for a fork that names none: at most what the project has left. A destroyed machine leaves what it had not
 * spent; its budget is closed, but nobody has taken that money since.
 */
export async function leftOf(ports: Ports, tx: Tx, machine: MachineRow): Promise<bigint> {
  const budget = await tx
    .selectFrom('budgets')
    .select(['id', 'limit', 'settled', 'reserved', 'closed_at'])
    .where('scope', '=', 'machine')
    .where('scope_id', '=', machine.id)
    .where('resource', '=', 'money')
    .where('period', '=', 'total')
    // The one that it was born with.
    .orderBy('id')
    .executeTakeFirst()
  if (!budget) return 0n
  if (budget.closed_at === null) return ports.ledger.available(budget.id, tx)
  const unspent = budget.limit - budget.settled - budget.reserved
  const ofProject = await ports.ledger.available(await projectBudget(ports, tx, machine.project_id), tx)
  return greatest(0n, least(unspent, ofProject))
}
