/** Makes a new machine from a checkpoint. */
import type { Budget, Checkpoint, ForkCheckpoint } from '@autovibe/contract'
import { readBudget } from '../amounts.ts'
import type { Action } from '../commands/define.ts'
import type { ForkOptions } from '../commands/fork.ts'
import { checkName } from '../importing.ts'
import { usd } from '../render/text.ts'
import { resolveCheckpoint } from '../resolve.ts'
import { awaitOperation } from './operation.ts'

export const fork: Action<ForkOptions> = async (context, [ref], options) => {
  const wish: ForkCheckpoint = {
    ...(options.name === undefined ? {} : { name: checkName(options.name) }),
    ...(options.budget === undefined ? {} : { budget: readBudget({ value: options.budget, origin: '--budget' }) }),
  }
  const client = await context.connect()
  const { out, signal } = context
  const { checkpoint, chosen } = await resolveCheckpoint(client, ref, { signal })
  if (chosen !== null) out.note(chosen)
  const forked = await client.checkpoints.fork(checkpoint.id, wish, { signal })
  await awaitOperation(context, client, forked.operation_id, `forking ${checkpoint.id}`)
  const machine = await client.machines.get(forked.machine_id, { signal })
  const budget = machine.budget_id === null ? null : await client.budgets.get(machine.budget_id, { signal })
  out.answer({ machine, checkpoint_id: checkpoint.id, budget, operation_id: forked.operation_id }, [
    `${out.paint.green('✓')} ${machine.name} was forked from ${checkpoint.id}; it is ${machine.state}.`,
    ...(budget === null ? [] : [`  ${describeBudget(budget, checkpoint, wish.budget !== undefined)}`]),
  ])
  out.next([`autovibe run "PROMPT" --machine ${machine.name} --budget 1.00`, `autovibe diff ${machine.name}`])
  return 0
}

/** What the new machine may spend, and why so much. */
function describeBudget({ limit }: Budget, { machine_name }: Checkpoint, isAskedFor: boolean): string {
  if (isAskedFor) return `Budget: ${usd(limit)}.`
  const why = limit === '0' ? `as ${machine_name} (or its project) has nothing left` : `what ${machine_name} has left`
  return `Budget: ${usd(limit)}, ${why}. A run on it brings its own on top.`
}
