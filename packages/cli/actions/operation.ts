/** Looks into operations, retries and cancels them; and waits for those that other commands start. */
import { AutovibeError, ERRORS, type ErrorCode, isId, OPERATION_STATES, type Operation, type OperationState } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { Action } from '../commands/define.ts'
import type { Context } from '../context.ts'
import { nearest } from '../render/nearest.ts'
import { renderOperation, renderOperations } from '../render/resources.ts'

export const operationList: Action<{ state?: string }> = async (context, _args, options) => {
  const state = readState(options.state)
  const client = await context.connect()
  const operations = await client.operations.list(state === undefined ? {} : { state }, { signal: context.signal }).take(100)
  context.out.answer({ operations }, renderOperations(operations, Date.now(), context.out.paint))
  return 0
}

export const operationShow: Action<unknown> = async (context, [id = '']) => {
  const operation = operationId(id)
  const client = await context.connect()
  return show(context, await client.operations.get(operation, { signal: context.signal }))
}

export const operationRetry: Action<unknown> = async (context, [id = '']) => {
  const operation = operationId(id)
  const client = await context.connect()
  return show(context, await client.operations.retry(operation, { signal: context.signal }))
}

export const operationCancel: Action<unknown> = async (context, [id = '']) => {
  const operation = operationId(id)
  const client = await context.connect()
  return show(context, await client.operations.cancel(operation, { signal: context.signal }))
}

/** The operation once it is done; everything else that it can end as is thrown, with its own reason. */
export async function awaitOperation(context: Context, client: Autovibe, id: string, what: string): Promise<Operation> {
  context.out.live(what)
  const operation = await client.operations.wait(id, { signal: context.signal })
  context.out.endLive()
  if (operation.state !== 'done') throw operationFailure(operation)
  return operation
}

export function operationFailure(operation: Operation): AutovibeError {
  const { error, state, id } = operation
  const fix = error?.fix ?? `autovibe operation show ${id}`
  if (state === 'stuck')
    return new AutovibeError('operation.stuck', `${operation.kind} is stuck${error ? `: ${error.message}` : ''}`, {
      fix: `autovibe operation show ${id}; then autovibe operation retry ${id}`,
    })
  if (state === 'cancelled') return new AutovibeError('operation.cancelled', `${operation.kind} was cancelled; what it did was undone.`, { fix })
  const code = error && error.code in ERRORS ? (error.code as ErrorCode) : 'internal'
  return new AutovibeError(code, error?.message ?? `${operation.kind} failed.`, { fix })
}

function show(context: Context, operation: Operation): number {
  context.out.answer({ operation }, renderOperation(operation, Date.now(), context.out.paint))
  return 0
}

function operationId(text: string): string {
  if (isId('operation', text)) return text
  throw new AutovibeError('request.invalid', `${JSON.stringify(text)} is not the id of an operation.`, { fix: 'autovibe operation list' })
}

function readState(text: string | undefined): OperationState | undefined {
  if (text === undefined) return undefined
  const state = OPERATION_STATES.find((known) => known === text)
  if (state !== undefined) return state
  const meant = nearest(text, OPERATION_STATES)
  throw new AutovibeError('request.invalid', `There is no state ${JSON.stringify(text)}.`, {
    fix: meant === undefined ? `One of ${OPERATION_STATES.join(', ')}` : `Did you mean --state ${meant}?`,
  })
}
