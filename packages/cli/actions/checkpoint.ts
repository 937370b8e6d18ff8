/** Makes, lists and shows checkpoints. */
import { AutovibeError, type CheckpointQuery, isId } from '@autovibe/contract'
import type { CheckpointCreateOptions } from '../commands/checkpoint.ts'
import type { Action } from '../commands/define.ts'
import { renderCheckpointLine } from '../render/moment.ts'
import { renderCheckpoint, renderCheckpoints } from '../render/resources.ts'
import { resolveMachine } from '../resolve.ts'

export const checkpointCreate: Action<CheckpointCreateOptions> = async (context, [ref = ''], options) => {
  const client = await context.connect()
  const { out, signal } = context
  const machine = await resolveMachine(client, ref, { signal })
  const { checkpoint: pending, operation_id } = await client.machines.checkpoint(machine.id, options.label === undefined ? {} : { label: options.label }, {
    signal,
  })
  out.live(`taking a checkpoint of ${machine.name}`)
  const checkpoint = await client.checkpoints.wait(pending.id, 'verified', { signal })
  out.endLive()
  out.answer({ checkpoint, operation_id }, [renderCheckpointLine(checkpoint, out.paint).trim()])
  if (checkpoint.state === 'verified') return 0
  throw new AutovibeError(
    checkpoint.state === 'corrupt' ? 'checkpoint.corrupt' : 'substrate.failed',
    `The checkpoint became ${checkpoint.state}${checkpoint.state_reason === null ? '' : `: ${checkpoint.state_reason}`}`,
    {
      fix: `autovibe operation show ${operation_id}`,
    },
  )
}

export const checkpointList: Action<unknown> = async (context, [ref]) => {
  const client = await context.connect()
  const { signal } = context
  const query: Partial<CheckpointQuery> =
    ref === undefined ? {} : isId('run', ref) ? { run: ref } : { machine: (await resolveMachine(client, ref, { signal })).id }
  const checkpoints = await client.checkpoints.list(query, { signal }).take(1000)
  context.out.answer({ checkpoints }, renderCheckpoints(checkpoints, Date.now(), context.out.paint))
  return 0
}

export const checkpointShow: Action<unknown> = async (context, [id = '']) => {
  const wanted = checkpointId(id)
  const client = await context.connect()
  const checkpoint = await client.checkpoints.get(wanted, { signal: context.signal })
  context.out.answer({ checkpoint }, renderCheckpoint(checkpoint, Date.now()))
  context.out.note(`Next: autovibe diff ${checkpoint.id} | fork ${checkpoint.id} | rollback ${checkpoint.machine_name} ${checkpoint.id}`)
  return 0
}

export function checkpointId(text: string): string {
  if (isId('checkpoint', text)) return text
  throw new AutovibeError('request.invalid', `${JSON.stringify(text)} is not the id of a checkpoint.`, { fix: 'autovibe checkpoint list' })
}
