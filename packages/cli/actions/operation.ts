/** Looks into operations, retries and cancels them; and waits for those that other commands start. */
import { AutovibeError, isErrorCode, OPERATION_STATES, type Operation, type OperationState } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { Action } from '../commands/define.ts'
import type { Context } from '../context.ts'
import { nearest } from '../render/nearest.ts'
import { renderOperation, renderOperations } from '../render/resources.ts'
import { canBeId, wholeId } from '../short-ids.ts'

const SHOWN = 100
/** Machines beyond these are shown by their ids. */
const NAMED = 1000

export const operationList: Action<{ state?: string }> = async (context, _args, options) => {
  const state = readState(options.state)
  const client = await context.connect()
  const { signal } = context
  const operations = await client.operations.list(state === undefined ? {} : { state }, { signal }).take(SHOWN)
  const machines = operations.length === 0 ? [] : await client.machines.list({ all: true, limit: NAMED }, { signal }).take(NAMED)
  const names = new Map(machines.map(({ id, name }) => [id, name]))
  context.out.answer({ operations }, operations.length === 0 ? [noOperations(state)] : renderOperations(operations, names, Date.now(), context.out.paint))
  return 0
}

export const operationShow: Action<unknown> = async (context, [id = '']) => {
  const { client, operation } = await find(context, id)
  return show(context, await client.operations.get(operation, { signal: context.signal }))
}

export const operationRetry: Action<unknown> = async (context, [id = '']) => {
  const { client, operation } = await find(context, id)
  return show(context, await client.operations.retry(operation, { signal: context.signal }))
}

export const operationCancel: Action<unknown> = async (context, [id = '']) => {
  const { client, operation } = await find(context, id)
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
      fix: `autovibe operation show ${id}`,
    })
  if (state === 'cancelled') return new AutovibeError('operation.cancelled', `${operation.kind} was cancelled; what it did was undone.`, { fix })
  const code = error && isErrorCode(error.code) ? error.code : 'internal'
  return new AutovibeError(code, error?.message ?? `${operation.kind} failed.`, { fix })
}

function show(context: Context, operation: Operation): number {
  context.out.answer({ operation }, renderOperation(operation, Date.now(), context.out.paint))
  if (operation.state === 'stuck') context.out.next([`autovibe operation retry ${operation.id}`])
  return 0
}

async function find(context: Context, text: string): Promise<{ client: Autovibe; operation: string }> {
  if (!canBeId('operation', text))
    throw new AutovibeError('request.invalid', `${JSON.stringify(text)} is not the id of an operation.`, { fix: 'autovibe operation list' })
  const client = await context.connect()
  return { client, operation: await wholeId(client, text, { signal: context.signal }) }
}

const noOperations = (state: OperationState | undefined): string => (state === undefined ? 'No operations yet.' : `No operation is ${state}.`)

function readState(text: string | undefined): OperationState | undefined {
  if (text === undefined) return undefined
  const state = OPERATION_STATES.find((known) => known === text)
  if (state !== undefined) return state
  const meant = nearest(text, OPERATION_STATES)
  throw new AutovibeError('request.invalid', `There is no state ${JSON.stringify(text)}; an operation is ${OPERATION_STATES.join(', ')}.`, {
    fix: `autovibe operation list --state ${meant ?? 'stuck'}`,
  })
}
