/** Stops, starts and destroys machines, and waits until it is so. */
import type { Machine, OperationRef, Run } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'
import type { Action } from '../commands/define.ts'
import { resolveMachine } from '../resolve.ts'
import { awaitOperation } from './operation.ts'

type Ask = (client: Autovibe, id: string, options: CallOptions) => Promise<OperationRef>

const changing =
  (doing: string, done: string, ask: Ask, next: (machine: Machine, run: Run | null) => string): Action<unknown> =>
  async (context, [ref = '']) => {
    const client = await context.connect()
    const { signal } = context
    const { id, name } = await resolveMachine(client, ref, { signal })
    const { operation_id } = await ask(client, id, { signal })
    await awaitOperation(context, client, operation_id, `${doing} ${name}`)
    const machine = await client.machines.get(id, { signal })
    context.out.answer({ machine, operation_id }, [`${context.out.paint.green('✓')} ${name} ${done}.`])
    context.out.next([next(machine, machine.run_id === null ? null : await client.runs.get(machine.run_id, { signal }))])
    return 0
  }

export const machineStop = changing(
  'stopping',
  'has stopped; its files are kept',
  (client, id, options) => client.machines.stop(id, options),
  ({ name }) => `autovibe machine start ${name}`,
)
export const machineStart = changing(
  'starting',
  'runs',
  (client, id, options) => client.machines.start(id, options),
  ({ name }, run) => (run === null || run.ended_at !== null ? `autovibe run "PROMPT" --machine ${name} --budget 1.00` : `autovibe attach ${name}`),
)
export const machineDestroy = changing(
  'destroying',
  'was destroyed; its checkpoints are kept',
  (client, id, options) => client.machines.destroy(id, options),
  ({ id }) => `autovibe checkpoint list ${id}`,
)
