/** Makes a new machine from a checkpoint. */
import type { ForkCheckpoint } from '@autovibe/contract'
import { readBudget } from '../amounts.ts'
import type { Action } from '../commands/define.ts'
import type { ForkOptions } from '../commands/fork.ts'
import { resolveCheckpoint } from '../resolve.ts'
import { awaitOperation } from './operation.ts'

export const fork: Action<ForkOptions> = async (context, [ref], options) => {
  const wish: ForkCheckpoint = {
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.budget === undefined ? {} : { budget: readBudget({ value: options.budget, origin: '--budget' }) }),
  }
  const client = await context.connect()
  const { out, signal } = context
  const checkpoint = await resolveCheckpoint(client, ref, { signal })
  const forked = await client.checkpoints.fork(checkpoint.id, wish, { signal })
  await awaitOperation(context, client, forked.operation_id, `forking ${checkpoint.id}`)
  const machine = await client.machines.get(forked.machine_id, { signal })
  out.answer({ machine, checkpoint_id: checkpoint.id, operation_id: forked.operation_id }, [
    `${out.paint.green('✓')} ${machine.name} was forked from ${checkpoint.id}; it is ${machine.state}.`,
  ])
  out.note(`Next: autovibe run "PROMPT" --machine ${machine.name} --budget 1.00 | machine destroy ${machine.name}`)
  return 0
}
