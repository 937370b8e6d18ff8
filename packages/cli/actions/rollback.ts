/** Takes a machine back to one of its checkpoints. */
import type { CheckpointId } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import { resolveMachine } from '../resolve.ts'
import { checkpointId } from './checkpoint.ts'
import { awaitOperation } from './operation.ts'

export const rollback: Action<unknown> = async (context, [ref = '', to = '']) => {
  const checkpoint = checkpointId(to) as CheckpointId
  const client = await context.connect()
  const { out, signal } = context
  const { id, name } = await resolveMachine(client, ref, { signal })
  const { operation_id } = await client.machines.rollback(id, { checkpoint }, { signal })
  await awaitOperation(context, client, operation_id, `taking ${name} back`)
  const machine = await client.machines.get(id, { signal })
  out.answer({ machine, checkpoint_id: checkpoint, operation_id }, [`${out.paint.green('✓')} ${name} is back at ${checkpoint}; it is ${machine.state}.`])
  out.note(`Next: autovibe diff ${checkpoint} | run "PROMPT" --machine ${name} --budget 1.00`)
  return 0
}
