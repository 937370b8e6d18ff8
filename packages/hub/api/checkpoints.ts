/** `/v1/checkpoints`: the points that can be gone back to, and new machines from them. */
import {
  Checkpoint,
  CheckpointId,
  CheckpointQuery,
  CheckpointWait,
  ForkCheckpoint,
  ForkedCheckpoint,
  OperationRef,
  pageOf,
  VerifyCheckpoint,
} from '@autovibe/contract'
import { z } from 'zod'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { checkpointWaitIsOver, waitUntil } from './plumbing/waiting.ts'
import { listCheckpoints, readCheckpoint } from './read/checkpoints.ts'

const tags = ['checkpoints']
const params = z.object({ checkpoint: CheckpointId })

export function registerCheckpoints(app: Api, context: ApiContext): void {
  const { db, requests } = context

  app.get(
    '/v1/checkpoints',
    {
      schema: {
        tags,
        operationId: 'listCheckpoints',
        summary: 'List the checkpoints, newest first',
        querystring: CheckpointQuery.strict(),
        response: { 200: pageOf(Checkpoint) },
      },
    },
    (request) => listCheckpoints(db, request.query),
  )

  app.get(
    '/v1/checkpoints/:checkpoint',
    { schema: { tags, operationId: 'getCheckpoint', summary: 'Show a checkpoint', params, response: { 200: Checkpoint } } },
    (request) => readCheckpoint(db, request.params.checkpoint),
  )

  app.get(
    '/v1/checkpoints/:checkpoint/wait',
    {
      schema: {
        tags,
        operationId: 'waitForCheckpoint',
        summary: 'Wait until a checkpoint is in a state, or cannot be',
        params,
        querystring: CheckpointWait.strict(),
        response: { 200: Checkpoint },
      },
    },
    (request, reply) => {
      const { for: target, timeout } = request.query
      return waitUntil(
        context,
        reply,
        timeout,
        () => readCheckpoint(db, request.params.checkpoint),
        (checkpoint) => checkpointWaitIsOver(target, checkpoint.state),
      )
    },
  )

  app.post(
    '/v1/checkpoints/:checkpoint/verify',
    {
      schema: {
        tags,
        operationId: 'verifyCheckpoint',
        summary: 'Read a checkpoint back now; its state says afterwards what was found',
        params,
        body: VerifyCheckpoint.strict(),
        response: { 202: OperationRef },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'checkpoint.verify', status: 202 }, async (tx) => {
        const { id } = await readCheckpoint(tx, request.params.checkpoint)
        const { restore } = request.body
        const { operationId } = await requests.verifyCheckpoint(tx, id, restore)
        return { body: { operation_id: operationId }, subject: id, detail: { restore } }
      }),
  )

  app.post(
    '/v1/checkpoints/:checkpoint/fork',
    {
      schema: {
        tags,
        operationId: 'forkCheckpoint',
        summary: 'Make a new machine from a checkpoint',
        params,
        body: ForkCheckpoint.strict(),
        response: { 202: ForkedCheckpoint },
      },
    },
    (request, reply) =>
      change(context, request, reply, { action: 'checkpoint.fork', status: 202 }, async (tx) => {
        const { id } = await readCheckpoint(tx, request.params.checkpoint)
        const { name, budget } = request.body
        const forked = await requests.forkCheckpoint(tx, id, {
          ...(name === undefined ? {} : { name }),
          ...(budget === undefined ? {} : { budget: BigInt(budget) }),
        })
        return {
          body: { machine_id: forked.machineId, machine_name: forked.machineName, operation_id: forked.operationId },
          subject: id,
          detail: { machine: forked.machineId },
        }
      }),
  )
}
