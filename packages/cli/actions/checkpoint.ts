/** Makes, lists and shows checkpoints. */
import { AutovibeError, type CheckpointQuery, type Machine } from '@autovibe/contract'
import type { CheckpointCreateOptions } from '../commands/checkpoint.ts'
import type { Action } from '../commands/define.ts'
import { renderCheckpointLine } from '../render/moment.ts'
import { renderCheckpoint, renderCheckpoints } from '../render/resources.ts'
import { renderStorage } from '../render/retention.ts'
import { resolveMachine, resolveRun } from '../resolve.ts'
import { canBeId, wholeId } from '../short-ids.ts'
import { storageOf } from './project-storage.ts'

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
  if (checkpoint.state === 'verified') {
    out.next([`autovibe rollback ${machine.name} ${checkpoint.id}`, `autovibe fork ${checkpoint.id}`])
    return 0
  }
  throw new AutovibeError(
    checkpoint.state === 'corrupt' ? 'checkpoint.corrupt' : 'substrate.failed',
    `The checkpoint became ${checkpoint.state}${checkpoint.state_reason === null ? '' : `: ${checkpoint.state_reason}`}`,
    { fix: `autovibe operation show ${operation_id}` },
  )
}

export const checkpointList: Action<unknown> = async (context, [ref]) => {
  const client = await context.connect()
  const { out, signal } = context
  const query: Partial<CheckpointQuery> = {}
  let machine: Machine | undefined
  if (ref !== undefined && canBeId('run', ref)) query.run = (await resolveRun(client, ref, { signal })).id
  else if (ref !== undefined) {
    machine = await resolveMachine(client, ref, { signal })
    query.machine = machine.id
  }
  const checkpoints = await client.checkpoints.list(query, { signal }).take(1000)
  const storage = await storageOf(context, client, checkpoints)
  out.answer({ checkpoints, storage }, [
    ...renderCheckpoints(checkpoints, Date.now(), out.paint),
    ...(storage.length > 0 ? ['', ...storage.map(renderStorage)] : []),
  ])
  const newest = checkpoints.find(({ state }) => state === 'verified')
  if (machine !== undefined && machine.destroyed_at !== null && newest) out.next([`autovibe fork ${newest.id}`])
  return 0
}

export const checkpointShow: Action<unknown> = async (context, [ref = '']) => {
  const wanted = checkpointRef(ref)
  const client = await context.connect()
  const { out, signal } = context
  const checkpoint = await client.checkpoints.get(await wholeId(client, wanted, { signal }), { signal })
  const machine = await client.machines.get(checkpoint.machine_id, { signal })
  out.answer({ checkpoint }, renderCheckpoint(checkpoint, Date.now()))
  const { id, state } = checkpoint
  if (state !== 'verified') return 0
  out.next([`autovibe diff ${id}`, `autovibe fork ${id}`, ...(machine.destroyed_at === null ? [`autovibe rollback ${machine.name} ${id}`] : [])])
  return 0
}

/** The text, when it can be the id of a checkpoint or its beginning; `request.invalid` otherwise. */
export function checkpointRef(text: string): string {
  if (canBeId('checkpoint', text)) return text
  throw new AutovibeError('request.invalid', `${JSON.stringify(text)} is not the id of a checkpoint.`, { fix: 'autovibe checkpoint list' })
}
