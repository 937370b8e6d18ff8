/** `/v1/operations`: durable changes and how far they are. */
import { Operation, OperationId, OperationQuery, OperationWait, pageOf } from '@autovibe/contract'
import { z } from 'zod'
import { change } from './plumbing/change.ts'
import type { Api, ApiContext } from './plumbing/deps.ts'
import { operationWaitIsOver, waitUntil } from './plumbing/waiting.ts'
import { listOperations, readOperation } from './read/operations.ts'

const tags = ['operations']
const params = z.object({ operation: OperationId })
const NoBody = z.strictObject({})

export function registerOperations(app: Api, context: ApiContext): void {
  const { db, requests } = context

  app.get(
    '/v1/operations',
    {
      schema: {
        tags,
        operationId: 'listOperations',
        summary: 'List the operations, newest first',
        querystring: OperationQuery.strict(),
        response: { 200: pageOf(Operation) },
      },
    },
    (request) => listOperations(db, request.query),
  )

  app.get(
    '/v1/operations/:operation',
    { schema: { tags, operationId: 'getOperation', summary: 'Show an operation and its steps', params, response: { 200: Operation } } },
    (request) => readOperation(db, request.params.operation),
  )

  app.get(
    '/v1/operations/:operation/wait',
    {
      schema: {
        tags,
        operationId: 'waitForOperation',
        summary: 'Wait until an operation has ended, or is stuck',
        params,
        querystring: OperationWait.strict(),
        response: { 200: Operation },
      },
    },
    (request, reply) => {
      const { for: target, timeout } = request.query
      return waitUntil(
        context,
        reply,
        timeout,
        () => readOperation(db, request.params.operation),
        (operation) => operationWaitIsOver(target, operation.state),
      )
    },
  )

  for (const verb of ['cancel', 'retry'] as const) {
    const ask = { cancel: requests.cancelOperation, retry: requests.retryOperation }[verb].bind(requests)
    const summary = { cancel: 'Undo an operation under way', retry: 'Try again to undo a stuck operation' }[verb]
    app.post(
      `/v1/operations/:operation/${verb}`,
      { schema: { tags, operationId: `${verb}Operation`, summary, params, body: NoBody, response: { 202: Operation } } },
      (request, reply) =>
        change(context, request, reply, { action: `operation.${verb}`, status: 202 }, async (tx) => {
          const { id } = await readOperation(tx, request.params.operation)
          await ask(tx, id)
          return { body: await readOperation(tx, id), subject: id }
        }),
    )
  }
}
