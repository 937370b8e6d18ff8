/** What the doors may ask for: each inserts its rows and its operation in the caller's transaction, or throws and changes nothing. */
import {
  AutovibeError,
  type CheckpointId,
  type CreateRun,
  type MachineArchiveId,
  type MachineId,
  type MachineLimitsChange,
  type OperationId,
  type RunId,
} from '@autovibe/contract'
import { chooseLimits } from '@autovibe/core/limits/choose.ts'
import { assertMachineAllows, type MachineAction } from '@autovibe/core/machines/transitions.ts'
import type { z } from 'zod'
import type { Tx } from '../database/database.ts'
import { recordEvent } from '../database/events.ts'
import type { Capabilities } from '../substrates/substrate.ts'
import { createCheckpoint } from './create-checkpoint.ts'
import { destroyMachine } from './destroy-machine.ts'
import type { Enqueue } from './engine/at-once.ts'
import { enqueue, requestCancel } from './engine/enqueue.ts'
import { retryStuck } from './engine/stuck.ts'
import { forkCheckpoint } from './fork-checkpoint.ts'
import type { Ports } from './ports.ts'
import { registry } from './registry.ts'
import { requestArchive, requestArchiveRemoval } from './requests/archives.ts'
import { assertMayAsk } from './requests/asked-by-agent.ts'
import { assertAtHand } from './requests/at-hand.ts'
import { insertImport, type NewImport } from './requests/import.ts'
import { checkpointToVerify, isUntouched, leftOf, lockRunAndMachine, projectByName, startOfProject, verifiedCheckpoint } from './requests/look-ups.ts'
import { noticeOf } from './requests/notices.ts'
import { insertMachine, insertRun, resolveModel } from './requests/rows.ts'
import { runOnMachine } from './requests/run-on-machine.ts'
import { rollbackMachine } from './rollback-machine.ts'
import { runPrompt } from './run-prompt.ts'
import { spawnMachine } from './spawn-machine.ts'
import { startMachine } from './start-machine.ts'
import { keepHandBack, projectBudget } from './steps/budgets.ts'
import { insertCheckpoint, type NewCheckpoint } from './steps/checkpoint-state.ts'
import { closeMachine } from './steps/machine-life.ts'
import { changeMachine, lockMachine, type MachineRow, setControl } from './steps/machine-state.ts'
import { changeRun, openRunOf } from './steps/run-state.ts'
import { type StopReason, stopMachine } from './stop-machine.ts'
import { verifyCheckpoint } from './verify-checkpoint.ts'

type RunInput = z.output<typeof CreateRun>

export interface Requests {
  createRun(tx: Tx, input: RunInput): Promise<{ runId: RunId; machineId: MachineId; operationId: OperationId }>
  cancelRun(tx: Tx, runId: RunId): Promise<void>
  /** Lets a paused run go on; `budget.exhausted` when its budget still has nothing left. */
  resumeRun(tx: Tx, runId: RunId): Promise<void>
  createCheckpoint(tx: Tx, machineId: MachineId, label: string | null): Promise<{ checkpointId: CheckpointId; operationId: OperationId }>
  /** The same for an agent, which waits for it between two tool calls. */
  checkpointByAgent(
    tx: Tx,
    machineId: MachineId,
    checkpoint: NewCheckpoint,
    through?: Enqueue,
  ): Promise<{ checkpointId: CheckpointId; operationId: OperationId }>
  /** Looks at it again now; with `restore`, all of it is brought back to a folder that nobody else sees, and compared. */
  verifyCheckpoint(tx: Tx, checkpointId: CheckpointId, restore: boolean): Promise<{ operationId: OperationId }>
  /** Of an archive that is kept already. */
  importCheckpoint(tx: Tx, imported: NewImport): Promise<{ operationId: OperationId }>
  forkCheckpoint(
    tx: Tx,
    checkpointId: CheckpointId,
    options: { name?: string; budget?: bigint },
  ): Promise<{ machineId: MachineId; machineName: string; operationId: OperationId }>
  rollbackMachine(tx: Tx, machineId: MachineId, to: CheckpointId): Promise<{ operationId: OperationId }>
  /** What was stopped because the Hub ends is started again by the next one. */
  stopMachine(tx: Tx, machineId: MachineId, reason?: StopReason): Promise<{ operationId: OperationId }>
  startMachine(tx: Tx, machineId: MachineId): Promise<{ operationId: OperationId }>
  destroyMachine(tx: Tx, machineId: MachineId): Promise<{ operationId: OperationId }>
  /** Beside whatever else the machine does; its checkpoint is taken first. */
  archiveMachine(tx: Tx, machineId: MachineId): Promise<{ archiveId: MachineArchiveId; operationId: OperationId }>
  removeArchive(tx: Tx, archiveId: MachineArchiveId): Promise<{ operationId: OperationId }>
  /** What it may take from now on, or from its next start on; what is left out stays as it is. */
  limitMachine(tx: Tx, machineId: MachineId, change: MachineLimitsChange): Promise<void>
  cancelOperation(tx: Tx, operationId: OperationId): Promise<void>
  /** What machines get for which nobody says otherwise, and the most that one could get. */
  sizes(): Pick<Capabilities, 'defaultLimits' | 'most' | 'tier'>
  retryOperation(tx: Tx, operationId: OperationId): Promise<void>
}

export function createRequests(ports: Ports): Requests {
  const { runtime, ledger } = ports
  const defaultLimits = () => ports.substrate.capabilities().defaultLimits
  const allowed = async (tx: Tx, machineId: MachineId, action: MachineAction): Promise<MachineRow> => {
    const machine = await lockMachine(tx, machineId)
    assertMachineAllows(machine, action)
    return machine
  }
  const checkpoint = async (tx: Tx, machine: MachineRow, wanted: NewCheckpoint, quiet: boolean, through: Enqueue = enqueue) => {
    assertAtHand(ports.substrate)
    const checkpointId = await insertCheckpoint(tx, runtime, machine, wanted)
    const subject = { projectId: machine.project_id, machineId: machine.id, runId: wanted.runId, checkpointId }
    return { checkpointId, operationId: await through(tx, runtime, createCheckpoint, { checkpointId, machineId: machine.id, quiet }, subject) }
  }

  return {
    sizes: () => ports.substrate.capabilities(),

    async createRun(tx, input) {
      const { model, simulated } = await resolveModel(ports, tx, input)
      if (input.machine && input.limits)
        throw new AutovibeError('request.invalid', 'A machine that is there keeps its limits.', {
          fix: `autovibe machine limits ${input.machine} --memory 4GiB`,
        })
      if (input.machine) return runOnMachine(ports, tx, input, input.machine, model)
      const project = await projectByName(tx, input.project)
      await projectBudget(ports, tx, project.id)
      const from = input.from_checkpoint ? await verifiedCheckpoint(tx, input.from_checkpoint, project.id) : await startOfProject(tx, project)
      if (!from && !project.source_sha256) {
        throw new AutovibeError('project.source_invalid', `Project ${project.name} has no source yet.`, { fix: 'Import one: autovibe run … --project PATH' })
      }
      const machine = await insertMachine(ports, tx, {
        projectId: project.id,
        // What a script does is known beforehand; a real agent needs the person's word.
        allowUnisolated: input.allow_unisolated || simulated,
        sourceSha256: from ? from.source_sha256 : project.source_sha256,
        from: from?.id ?? null,
        notice: input.from_checkpoint && from ? noticeOf(from) : null,
        limits: chooseLimits(defaultLimits(), input.limits, input.from_checkpoint && from ? await limitsOf(tx, from.machine_id) : null, project.limits),
      })
      const runId = await insertRun(ports, tx, { ...input, model, machine, resume: input.from_checkpoint !== undefined })
      const operationId = await enqueue(
        tx,
        runtime,
        spawnMachine,
        { machineId: machine.id, projectId: project.id, runId, from: from?.id ?? null, limitNanoUsd: input.budget },
        { projectId: project.id, machineId: machine.id, runId },
      )
      return { runId, machineId: machine.id, operationId }
    },

    async cancelRun(tx, runId) {
      // Operations before the machine, as the engine locks them. One that has not brought the run to life yet ends with it.
      const bringing = await tx
        .selectFrom('operations')
        .select('id')
        .where('run_id', '=', runId)
        .where('ended_at', 'is', null)
        .where('kind', 'in', BRINGING)
        .execute()
      for (const { id } of bringing) await requestCancel(tx, runtime, id)
      const { run, machine } = await lockRunAndMachine(tx, runId)
      if (run.ended_at) throw new AutovibeError('conflict.state', `The run has already ended: ${run.state}.`)
      await changeRun(tx, runtime, ledger, run, 'cancel', 'Cancelled on request.')
      await setControl(tx, machine, 'cancel')
      if (machine.state === 'running' || machine.state === 'paused') await changeMachine(tx, runtime, machine, 'rest')
    },

    async resumeRun(tx, runId) {
      const { run, machine } = await lockRunAndMachine(tx, runId)
      if (run.state !== 'paused') throw new AutovibeError('conflict.state', `The run is ${run.state}, not paused.`)
      if (run.budget_id && (await ledger.available(run.budget_id, tx)) <= 0n) {
        throw new AutovibeError('budget.exhausted', 'The run has nothing left to spend.', { fix: `autovibe budget set ${runId} AMOUNT` })
      }
      if (machine.state === 'stopped' || machine.state === 'failed') {
        await enqueue(tx, runtime, startMachine, { machineId: machine.id }, { projectId: machine.project_id, machineId: machine.id, runId })
        return
      }
      await changeRun(tx, runtime, ledger, run, 'start', null)
      await keepHandBack(ports, tx, run.id)
      // Whoever has the machine in hand now (a checkpoint, a start) sets it to work when it lets go.
      if (machine.state === 'paused') await setControl(tx, await changeMachine(tx, runtime, machine, 'work'), 'go', { run_id: run.id })
    },

    async createCheckpoint(tx, machineId, label) {
      const machine = await allowed(tx, machineId, 'checkpoint')
      if (await isUntouched(tx, machine)) {
        throw new AutovibeError('conflict.busy', `Machine ${machine.name} is still being given its project.`, { fix: 'Try again in a moment.' })
      }
      const run = await openRunOf(tx, machineId)
      return checkpoint(tx, machine, { trigger: 'demand', label, runId: run?.id ?? machine.run_id, step: null }, false)
    },

    async checkpointByAgent(tx, machineId, wanted, through) {
      const machine = await lockMachine(tx, machineId)
      await assertMayAsk(tx, machine, wanted.runId)
      const trigger = wanted.trigger === 'start' && !(await isUntouched(tx, machine)) ? 'files-changed' : wanted.trigger
      return checkpoint(tx, machine, { ...wanted, trigger }, true, through)
    },

    async verifyCheckpoint(tx, checkpointId, restore) {
      const { project_id: projectId, machine_id: machineId, run_id: runId } = await checkpointToVerify(tx, checkpointId)
      return { operationId: await enqueue(tx, runtime, verifyCheckpoint, { checkpointId, restore }, { projectId, machineId, runId, checkpointId }) }
    },

    importCheckpoint: async (tx, imported) => ({ operationId: await insertImport(ports, tx, imported) }),

    async forkCheckpoint(tx, checkpointId, { name, budget }) {
      const from = await verifiedCheckpoint(tx, checkpointId)
      if (from.trigger === 'import' && budget === undefined)
        throw new AutovibeError('request.invalid', 'An import has no machine whose budget a fork could take over.', {
          fix: `Say what it may spend: autovibe fork ${checkpointId} --budget 2.00`,
        })
      const parent = await lockMachine(tx, from.machine_id)
      const machine = await insertMachine(ports, tx, {
        projectId: from.project_id,
        name,
        allowUnisolated: parent.allow_unisolated,
        sourceSha256: from.source_sha256,
        from: from.id,
        notice: noticeOf(from),
        limits: parent.limits ?? defaultLimits(),
      })
      const limitNanoUsd = (budget ?? (await leftOf(ports, tx, parent))).toString()
      const input = { machineId: machine.id, projectId: from.project_id, from: from.id, limitNanoUsd }
      const operationId = await enqueue(tx, runtime, forkCheckpoint, input, { projectId: from.project_id, machineId: machine.id, checkpointId })
      return { machineId: machine.id, machineName: machine.name, operationId }
    },

    async rollbackMachine(tx, machineId, to) {
      const machine = await allowed(tx, machineId, 'rollback')
      const target = await verifiedCheckpoint(tx, to, machine.project_id)
      const run = await openRunOf(tx, machineId)
      const saved = await insertCheckpoint(tx, runtime, machine, {
        trigger: 'rollback',
        label: `before rollback to ${target.label ?? target.id}`,
        runId: run?.id ?? machine.run_id,
        step: null,
      })
      return {
        operationId: await enqueue(tx, runtime, rollbackMachine, { machineId, to, saved }, { projectId: machine.project_id, machineId, checkpointId: to }),
      }
    },

    async stopMachine(tx, machineId, reason = 'asked') {
      const machine = await allowed(tx, machineId, 'stop')
      return { operationId: await enqueue(tx, runtime, stopMachine, { machineId, reason }, { projectId: machine.project_id, machineId }) }
    },

    async startMachine(tx, machineId) {
      const machine = await allowed(tx, machineId, 'start')
      return { operationId: await enqueue(tx, runtime, startMachine, { machineId }, { projectId: machine.project_id, machineId }) }
    },

    async destroyMachine(tx, machineId) {
      // Operations before the machine, as the engine locks them.
      const unfinished = await tx
        .selectFrom('operations')
        .select(['id', 'kind', 'exclusive'])
        .where('machine_id', '=', machineId)
        .where('ended_at', 'is', null)
        .execute()
      const underWay = unfinished.find(({ kind }) => kind === destroyMachine.kind)
      if (underWay) return { operationId: underWay.id }
      for (const { id, exclusive } of unfinished) if (exclusive) await requestCancel(tx, runtime, id)
      const machine = await allowed(tx, machineId, 'destroy')
      // From now on it takes no new work and spends nothing more.
      await setControl(tx, await changeMachine(tx, runtime, machine, 'halt'), 'cancel')
      await closeMachine(ports, tx, machineId, null)
      return { operationId: await enqueue(tx, runtime, destroyMachine, { machineId }, { projectId: machine.project_id, machineId }) }
    },

    archiveMachine(tx, machineId) {
      return requestArchive(ports, tx, machineId, () => this.createCheckpoint(tx, machineId, 'for an archive'))
    },

    removeArchive: (tx, archiveId) => requestArchiveRemoval(ports, tx, archiveId),

    async limitMachine(tx, machineId, change) {
      const machine = await lockMachine(tx, machineId)
      if (machine.destroyed_at) throw new AutovibeError('conflict.state', `The machine ${machine.name} is destroyed.`, { fix: 'autovibe ps' })
      const limits = chooseLimits(ports.substrate.capabilities().defaultLimits, change, machine.limits)
      await tx
        .updateTable('machines')
        .set({ limits: JSON.stringify(limits) })
        .where('id', '=', machineId)
        .execute()
      const subject = { project_id: machine.project_id, machine_id: machineId }
      await recordEvent(tx, runtime, { type: 'machine.limits_changed', ...subject, data: { before: machine.limits, after: limits } })
    },

    async cancelOperation(tx, operationId) {
      const row = await tx.selectFrom('operations').select(['kind', 'ended_at']).where('id', '=', operationId).executeTakeFirst()
      if (!row) throw new AutovibeError('not_found', `There is no operation ${operationId}.`, { fix: 'autovibe operation list' })
      const fix = `autovibe operation show ${operationId}`
      if (row.ended_at) throw new AutovibeError('conflict.state', 'The operation has already ended.', { fix })
      if (!registry.get(row.kind)?.cancellable)
        throw new AutovibeError('conflict.state', `A ${row.kind} cannot be cancelled: once begun it is finished.`, { fix })
      await requestCancel(tx, runtime, operationId)
    },

    retryOperation: (tx, operationId) => retryStuck(tx, runtime, operationId),
  }
}

const limitsOf = async (tx: Tx, machineId: MachineId) =>
  (await tx.selectFrom('machines').select('limits').where('id', '=', machineId).executeTakeFirst())?.limits

/** The operations whose end is that the run works. */
const BRINGING = [spawnMachine.kind, runPrompt.kind]
