/** Stops, starts and destroys machines, and waits until it is so. */
import type { OperationRef } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'
import type { Action } from '../commands/define.ts'
import { resolveMachine } from '../resolve.ts'
import { awaitOperation } from './operation.ts'

type Ask = (client: Autovibe, id: string, options: CallOptions) => Promise<OperationRef>

const changing =
  (doing: string, done: string, ask: Ask): Action<unknown> =>
  async (context, [ref = '']) => {
    const client = await context.connect()
    const { signal } = context
    const { id, name } = await resolveMachine(client, ref, { signal })
    const { operation_id } = await ask(client, id, { signal })
    await awaitOperation(context, client, operation_id, `${doing} ${name}`)
    const machine = await client.machines.get(id, { signal })
    context.out.answer({ machine, operation_id }, [`${context.out.paint.green('✓')} ${name} ${done}.`])
    return 0
  }

export const machineStop = changing('stopping', 'has stopped; its files are kept', (client, id, options) => client.machines.stop(id, options))
export const machineStart = changing('starting', 'runs', (client, id, options) => client.machines.start(id, options))
export const machineDestroy = changing('destroying', 'was destroyed; its checkpoints are kept', (client, id, options) => client.machines.destroy(id, options))
