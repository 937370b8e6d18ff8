/** Takes a machine back to one of its checkpoints. */
import { type CheckpointId, isId } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import { destroyed, resolveMachine } from '../resolve.ts'
import { wholeId } from '../short-ids.ts'
import { checkpointRef } from './checkpoint.ts'
import { awaitOperation } from './operation.ts'

export const rollback: Action<unknown> = async (context, [ref = '', to = '']) => {
  const wanted = checkpointRef(to)
  const client = await context.connect()
  const { out, signal } = context
  const checkpoint = (await wholeId(client, wanted, { signal })) as CheckpointId
  // A machine that is gone cannot go back; another one can begin there.
  const instead = `autovibe fork ${checkpoint}`
  const machine = await resolveMachine(client, ref, { signal }, instead)
  if (machine.destroyed_at !== null) throw destroyed(machine, 'conflict.state', instead)
  const { id, name } = machine
  const { operation_id } = await client.machines.rollback(id, { checkpoint }, { signal })
  const { input } = await awaitOperation(context, client, operation_id, `taking ${name} back`)
  const saved = savedBy(input)
  out.answer({ machine: await client.machines.get(id, { signal }), checkpoint_id: checkpoint, saved_as: saved, operation_id }, [
    `${out.paint.green('✓')} ${name} is back at ${checkpoint}.`,
    ...(saved === null ? [] : [`  What it had until now is kept as ${saved}.`]),
  ])
  out.next([
    `autovibe run "PROMPT" --machine ${name} --budget 1.00`,
    `autovibe diff ${checkpoint}`,
    ...(saved === null ? [] : [`autovibe rollback ${name} ${saved}`]),
  ])
  return 0
}

/** The checkpoint of what the machine had before, as the operation tells; null from a Hub that does not tell. */
function savedBy(input: unknown): CheckpointId | null {
  const saved = typeof input === 'object' && input !== null && 'saved' in input ? input.saved : null
  return typeof saved === 'string' && isId('checkpoint', saved) ? saved : null
}
