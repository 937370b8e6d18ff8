/** An agent asks for a checkpoint between two tool calls, and is answered as soon as its tree is frozen. */
import { AutovibeError, CheckpointAnswer, type CheckpointId, DOOR_LIMITS, type MachineId, RequestCheckpoint } from '@autovibe/contract'
import type { z } from 'zod'
import type { Tx } from '../database/database.ts'
import { transactionWithRetry } from '../database/transaction.ts'
import { lockMachine } from '../operations/steps/machine-state.ts'
import type { DoorApp, DoorContext } from './door.ts'

const FREEZE_TIMEOUT_MS = 60_000

export function checkpointRoutes(app: DoorApp, { db, requests, wakes, metrics }: DoorContext): void {
  app.post('/door/checkpoints', { schema: { body: RequestCheckpoint, response: { 200: CheckpointAnswer } } }, async ({ machineId, body }, reply) => {
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort())
    const { run_id: runId, trigger, label, step } = body
    const { checkpointId } = await transactionWithRetry(db, async (tx) => {
      await assertFewOnTheirWay(tx, machineId)
      return requests.checkpointByAgent(tx, machineId, { trigger, label, runId, step })
    })
    const deadline = Date.now() + FREEZE_TIMEOUT_MS
    for (;;) {
      const change = wakes.next(machineId, Math.max(0, deadline - Date.now()), gone.signal)
      const answer = await stateOf(checkpointId)
      if (answer.state !== 'pending' || Date.now() >= deadline || gone.signal.aborted) {
        metrics.checkpointWaited(trigger, reply.elapsedTime / 1000)
        return answer
      }
      await change
    }
  })

  async function stateOf(checkpointId: CheckpointId): Promise<z.input<typeof CheckpointAnswer>> {
    const { state, state_reason } = await db
      .selectFrom('checkpoints')
      .select(['state', 'state_reason'])
      .where('id', '=', checkpointId)
      .executeTakeFirstOrThrow()
    return { checkpoint_id: checkpointId, state, state_reason }
  }
}

/** A machine that asks faster than the store reads would fill the substrate with snapshots. */
async function assertFewOnTheirWay(tx: Tx, machineId: MachineId): Promise<void> {
  // Locked, so that two that ask at once are counted one after the other.
  await lockMachine(tx, machineId)
  const onTheirWay = await tx
    .selectFrom('checkpoints')
    .select('id')
    .where('machine_id', '=', machineId)
    .where('state', 'in', ['pending', 'capturing', 'stored'])
    .limit(DOOR_LIMITS.checkpointsOnTheirWay)
    .execute()
  if (onTheirWay.length === DOOR_LIMITS.checkpointsOnTheirWay)
    throw new AutovibeError('conflict.busy', `${DOOR_LIMITS.checkpointsOnTheirWay} checkpoints of this machine are still on their way.`)
}
