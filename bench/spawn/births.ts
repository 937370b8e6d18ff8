/** New machines, timed: by a run on a project, or by forking a checkpoint. */
import { AutovibeError, type CheckpointId, type MachineId, type Operation } from '@autovibe/contract'
import { PLENTY_NANO_USD, PROVIDER, type Stage } from '../support/stage.ts'

export interface Birth {
  readonly machineId: MachineId
  /** From the client's request until the machine registered. */
  readonly registeredMs: number
  /** From the operation's row until the machine registered. */
  readonly fromCreatedMs: number
  /** From the client's request until the operation had ended. */
  readonly endedMs: number
  readonly steps: readonly StepTime[]
}

export interface StepTime {
  readonly name: string
  /** Since the step before ended, so that the steps add up to the operation. */
  readonly ms: number
}

/** Spawns by POST /v1/runs, lets the run end, and destroys the machine again when `destroyed`. */
export async function spawnOnce(stage: Stage, destroyed: boolean): Promise<Birth> {
  const { client, projectId } = stage
  const askedAt = Date.now()
  const { run, operation_id } = await client.runs.create({ project: projectId, prompt: 'Say ok', provider: PROVIDER, budget: PLENTY_NANO_USD })
  const birth = await birthOf(stage, askedAt, run.machine_id, operation_id)
  const ended = await client.runs.wait(run.id, 'ended')
  if (ended.state !== 'succeeded') throw new Error(`a run ended as ${ended.state}: ${ended.state_reason}`)
  if (destroyed) await destroy(stage, run.machine_id)
  return birth
}

/** Forks the checkpoint and destroys the new machine again. */
export async function forkOnce(stage: Stage, checkpointId: CheckpointId): Promise<Birth> {
  const askedAt = Date.now()
  const { machine_id, operation_id } = await stage.client.checkpoints.fork(checkpointId, { budget: '0' })
  const birth = await birthOf(stage, askedAt, machine_id, operation_id)
  await destroy(stage, machine_id)
  return birth
}

export async function destroy({ client }: Stage, machineId: MachineId): Promise<void> {
  const { operation_id } = await client.machines.destroy(machineId)
  await client.operations.wait(operation_id)
}

async function birthOf({ client }: Stage, askedAt: number, machineId: MachineId, operationId: Operation['id']): Promise<Birth> {
  const operation = assertDone(await client.operations.wait(operationId))
  const { items } = await client.eventPage({ machine: machineId, types: ['machine.registered'] })
  const registeredAt = Date.parse(items[0]?.at ?? '')
  const createdAt = Date.parse(operation.created_at)
  return {
    machineId,
    registeredMs: registeredAt - askedAt,
    fromCreatedMs: registeredAt - createdAt,
    endedMs: Date.parse(operation.ended_at ?? '') - askedAt,
    steps: stepTimes(operation),
  }
}

export function stepTimes({ created_at, steps }: Operation): StepTime[] {
  const ends = [created_at, ...steps.map(({ ended_at }) => ended_at ?? '')].map((at) => Date.parse(at))
  return steps.map(({ name }, index) => ({ name, ms: (ends[index + 1] ?? Number.NaN) - (ends[index] ?? Number.NaN) }))
}

export function assertDone(operation: Operation): Operation {
  if (operation.state === 'done') return operation
  throw new AutovibeError('internal', `The operation ${operation.kind} ended as ${operation.state}: ${operation.error?.message}`)
}
