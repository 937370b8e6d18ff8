/** `/v1/checkpoints/:checkpoint/pin` and `unpin`: a person's word that a checkpoint stays, whatever the rules say. */
import { Checkpoint, CheckpointId } from '@autovibe/contract'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { checkpointGone } from '../operations/steps/checkpoint-state.ts'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { readCheckpoint } from './read/checkpoints.ts'

const params = z.object({ checkpoint: CheckpointId })

export function registerCheckpointPins(app: Api, context: ApiContext): void {
  const set = (request: FastifyRequest<{ Params: { checkpoint: CheckpointId } }>, reply: FastifyReply, pinned: boolean) =>
    change(context, request as FastifyRequest, reply, { action: pinned ? 'checkpoint.pin' : 'checkpoint.unpin', status: 200 }, async (tx) => {
      const { id } = await readCheckpoint(tx, request.params.checkpoint)
      // Under the row's lock: whoever expires it at this moment is waited for.
      const { state, machine_id } = await tx
        .updateTable('checkpoints')
        .set({ pinned })
        .where('id', '=', id)
        .returning(['state', 'machine_id'])
        .executeTakeFirstOrThrow()
      if (pinned && state === 'expired') throw checkpointGone({ id, machine_id })
      return { body: await readCheckpoint(tx, id), subject: id }
    })
  const schema = { tags: ['checkpoints'], params, response: { 200: Checkpoint } }

  app.post(
    '/v1/checkpoints/:checkpoint/pin',
    { schema: { ...schema, operationId: 'pinCheckpoint', summary: 'Keep a checkpoint whatever the rules of retention say' } },
    (request, reply) => set(request, reply, true),
  )

  app.post(
    '/v1/checkpoints/:checkpoint/unpin',
    { schema: { ...schema, operationId: 'unpinCheckpoint', summary: 'Leave a checkpoint to the rules of retention again' } },
    (request, reply) => set(request, reply, false),
  )
}
