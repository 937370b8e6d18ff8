/** Makes, lists and shows checkpoints. */
import { AutovibeError, CHECKPOINT_STATES, type CheckpointQuery, type CheckpointState, type Machine } from '@autovibe/contract'
import type { CheckpointCreateOptions, CheckpointListOptions } from '../commands/checkpoint.ts'
import type { Action } from '../commands/define.ts'
import { renderCheckpointLine } from '../render/moment.ts'
import { nearest } from '../render/nearest.ts'
import { renderCheckpoint, renderCheckpoints } from '../render/resources.ts'
import { renderStorage } from '../render/retention.ts'
import { resolveMachine, resolveRun } from '../resolve.ts'
import { canBeId, wholeId } from '../short-ids.ts'
import { findProject } from './project.ts'
import { storageOf } from './project-storage.ts'

/** Newest first. */
const LISTED_MAX = 1000

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

export const checkpointList: Action<CheckpointListOptions> = async (context, [ref], options) => {
  const state = readState(options.state)
  const client = await context.connect()
  const { out, signal } = context
  const query: Partial<CheckpointQuery> = {}
  if (options.project !== undefined) query.project = (await findProject(client, options.project, { signal })).id
  let machine: Machine | undefined
  if (ref !== undefined && canBeId('run', ref)) query.run = (await resolveRun(client, ref, { signal })).id
  else if (ref !== undefined) {
    machine = await resolveMachine(client, ref, { signal })
    query.machine = machine.id
  }
  const list = (more: Partial<CheckpointQuery>) => client.checkpoints.list({ ...query, ...more }, { signal }).take(LISTED_MAX)
  const checkpoints = await list(state === undefined ? {} : { state })
  // Also those that are older than all that is listed.
  const damaged = state === undefined ? (await list({ state: 'corrupt' })).length : 0
  const storage = await storageOf(context, client, checkpoints)
  out.answer({ checkpoints, storage }, [
    ...(state !== undefined && checkpoints.length === 0 ? [`No checkpoint is ${state}.`] : renderCheckpoints(checkpoints, Date.now(), out.paint)),
    ...(damaged > 0 ? ['', out.paint.red(`${damaged} of them ${damaged === 1 ? 'is' : 'are'} damaged: autovibe checkpoint list --state corrupt`)] : []),
    ...(storage.length > 0 ? ['', ...storage.map(renderStorage)] : []),
  ])
  const [worst] = checkpoints
  if (state === 'corrupt' && worst) out.next([`autovibe checkpoint show ${worst.id}`, `autovibe checkpoint verify ${worst.id}`])
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

function readState(text: string | undefined): CheckpointState | undefined {
  if (text === undefined) return undefined
  const state = CHECKPOINT_STATES.find((known) => known === text)
  if (state !== undefined) return state
  const meant = nearest(text, CHECKPOINT_STATES)
  throw new AutovibeError('request.invalid', `There is no state ${JSON.stringify(text)}; a checkpoint is ${CHECKPOINT_STATES.join(', ')}.`, {
    fix: `autovibe checkpoint list --state ${meant ?? 'corrupt'}`,
  })
}

/** The text, when it can be the id of a checkpoint or its beginning; `request.invalid` otherwise. */
export function checkpointRef(text: string): string {
  if (canBeId('checkpoint', text)) return text
  throw new AutovibeError('request.invalid', `${JSON.stringify(text)} is not the id of a checkpoint.`, { fix: 'autovibe checkpoint list' })
}
