/** An agent asks for a checkpoint between two tool calls, and is answered as soon as its tree is frozen. */
import { CheckpointAnswer, type CheckpointId, RequestCheckpoint } from '@autovibe/contract'
import type { z } from 'zod'
import type { DoorApp, DoorContext } from './door.ts'

const FREEZE_TIMEOUT_MS = 60_000

export function checkpointRoutes(app: DoorApp, { db, requests, wakes, metrics, askAtOnce }: DoorContext): void {
  app.post('/door/checkpoints', { schema: { body: RequestCheckpoint, response: { 200: CheckpointAnswer } } }, async ({ machineId, body }, reply) => {
    const askedAt = performance.now()
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort())
    const { run_id: runId, trigger, label, step } = body
    const {
      answer: { checkpointId },
      moved,
    } = await askAtOnce((tx, enqueue) => requests.checkpointByAgent(tx, machineId, { trigger, label, runId, step }, enqueue))
    const deadline = Date.now() + FREEZE_TIMEOUT_MS
    // What this Hub does at once is known here before a wake-up could tell.
    for (let ours = moved; ; ) {
      const change = wakes.next(machineId, Math.max(0, deadline - Date.now()), gone.signal)
      if (ours !== null) await Promise.race([ours.then(() => (ours = null)), change])
      const answer = await stateOf(checkpointId)
      if (answer.state !== 'pending' || Date.now() >= deadline || gone.signal.aborted) {
        metrics.checkpointWaited(trigger, (performance.now() - askedAt) / 1000)
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
