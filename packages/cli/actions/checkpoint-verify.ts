/** Lets the Hub look at a checkpoint again, and says what it found. */
import { AutovibeError, type Checkpoint, type OperationId } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { CheckpointVerifyOptions } from '../commands/checkpoint.ts'
import type { Action } from '../commands/define.ts'
import type { Context } from '../context.ts'
import { bytes, duration, plain, plural } from '../render/text.ts'
import { wholeId } from '../short-ids.ts'
import { checkpointRef } from './checkpoint.ts'
import { awaitOperation } from './operation.ts'

const DOING: Readonly<Record<string, string>> = {
  verify: 'reading all of it back',
  restore: 'restoring it and comparing every file',
}

export const checkpointVerify: Action<CheckpointVerifyOptions> = async (context, [ref = ''], { restore = false }) => {
  const wanted = checkpointRef(ref)
  const client = await context.connect()
  const { out, signal } = context
  const id = await wholeId(client, wanted, { signal })
  const startedAt = performance.now()
  const { operation_id } = await client.checkpoints.verify(id, { restore }, { signal })
  await awaitWithSteps(context, client, operation_id, id, restore)
  const checkpoint = await client.checkpoints.get(id, { signal })
  const { state, state_reason } = checkpoint
  out.answer(
    { checkpoint, restored: restore, operation_id },
    state === 'verified' ? [`${out.paint.green('✓')} ${closing(checkpoint, restore, startedAt)}`] : [],
  )
  if (state === 'verified') return 0
  if (state === 'corrupt')
    throw new AutovibeError('checkpoint.corrupt', `${id} is damaged. ${plain(state_reason ?? '')}`.trim(), {
      fix: `Use another one (autovibe checkpoint list ${checkpoint.machine_name}), and check the disk of the Hub.`,
    })
  throw new AutovibeError('conflict.state', `${id} became ${state} meanwhile.`, { fix: `autovibe checkpoint show ${id}` })
}

function closing({ id, files, bytes: size }: Checkpoint, restored: boolean, startedAt: number): string {
  const all = `${plural(files ?? 0, 'file')}, ${bytes(size ?? 0)}`
  const took = duration(performance.now() - startedAt)
  return restored
    ? `${id} is sound: ${all}, read back, restored and compared with the manifest in ${took}; nothing differs and nothing is left of it.`
    : `${id} is sound: ${all}, read back and hashed in ${took}.`
}

/** The steps are only for a person who watches: that none is heard of must not keep anyone from the end. */
async function awaitWithSteps(context: Context, client: Autovibe, operationId: OperationId, id: string, restore: boolean): Promise<void> {
  const { out, signal } = context
  const ended = new AbortController()
  const watching = watch(client, operationId, AbortSignal.any([signal, ended.signal]), (step) => {
    if (step === 'verify' || (step === 'restore' && restore)) out.live(`${id}: ${DOING[step]}`)
  })
  try {
    await awaitOperation(context, client, operationId, `${id}: ${DOING['verify']}`)
  } finally {
    ended.abort()
    await watching
    out.endLive()
  }
}

async function watch(client: Autovibe, operation: OperationId, signal: AbortSignal, onStep: (step: string) => void): Promise<void> {
  try {
    for await (const { data } of client.events({ operation, types: ['operation.step_changed'], signal }))
      if (data['state'] === 'running' && typeof data['step'] === 'string') onStep(data['step'])
  } catch (error) {
    if (!(error instanceof AutovibeError)) throw error
    // Whoever waits for the operation meets the same and says so.
  }
}
