/** Brings an archive into the store as a checkpoint, proves that it can be read back, and gives the substrate its tree, so that machines can start from it. */
import { AutovibeError, CheckpointId, MachineId } from '@autovibe/contract'
import { roomProblem } from '@autovibe/core/checkpoints/restored.ts'
import { z } from 'zod'
import { treeOfTar } from '../checkpoints/archive/tree-of-tar.ts'
import type { Database, Tx } from '../database/database.ts'
import type { EnsureStep, StepContext } from './engine/define.ts'
import { operation, type Ports } from './ports.ts'
import { changeCheckpoint } from './steps/checkpoint-state.ts'
import { CAPTURE_TIMEOUT_MS, type Captured, type ReadBack, readBack, recordCaptured, recordReadBack, storeFailed, storeOf } from './steps/checkpoint-stored.ts'
import { done } from './steps/machine-life.ts'

const ImportCheckpoint = z.object({
  checkpointId: CheckpointId,
  machineId: MachineId,
  contents: z.enum(['project', 'all']),
})
type ImportCheckpoint = z.output<typeof ImportCheckpoint>
type Context<O = unknown> = StepContext<Ports, ImportCheckpoint, O>

/** Writing a large tree may take this long, in ms. */
const PLANT_TIMEOUT_MS = 30 * 60_000
/** A file's last block is half empty, or all of it. */
const BLOCK_BYTES = 4096

export const importCheckpoint = operation('import-checkpoint', ImportCheckpoint, { exclusive: false, cancellable: false, long: true })
  .ensure('accept', { do: done(async () => undefined), undo: givenUp })
  .ensure('capture', treeCaptured())
  .tx('record', { do: record })
  .ensure('verify', { timeoutMs: CAPTURE_TIMEOUT_MS, do: async (context) => ({ done: await readBack(context, null) }) })
  .ensure('plant', treePlanted())
  .ensure('drop', { do: done(archiveDropped) })
  .tx('finish', { do: finish })

function treeCaptured(): EnsureStep<Ports, ImportCheckpoint, unknown, Captured> {
  return {
    timeoutMs: CAPTURE_TIMEOUT_MS,
    do: async ({ input, ports, signal }) => {
      const { checkpointId, contents } = input
      const { created_at } = await ports.db.selectFrom('checkpoints').select('created_at').where('id', '=', checkpointId).executeTakeFirstOrThrow()
      const { file, tar } = ports.imports.read(checkpointId)
      const changes = treeOfTar(tar, file, { contents, timeMs: created_at.getTime() })
      const store = await storeOf(ports, checkpointId)
      const { manifestSha256, files, bytes, newBytes } = await store.capture({ checkpointId, parent: null, changes }, signal)
      return { done: { manifestSha256, files, bytes, newBytes } }
    },
    undo: async ({ input, ports }) => (await storeOf(ports, input.checkpointId)).forget(input.checkpointId),
  }
}

function record(context: Context<{ capture: Captured }>, tx: Tx): Promise<null> {
  return recordCaptured(context, tx, context.outputs.capture)
}

function treePlanted(): EnsureStep<Ports, ImportCheckpoint, { capture: Captured; verify: ReadBack }, { handle: string | null }> {
  return {
    timeoutMs: PLANT_TIMEOUT_MS,
    do: async ({ input, ports, outputs, signal }) => {
      if (!outputs.verify.ok) return { done: { handle: null } }
      const { substrate } = ports
      // Where trees do not lie on this host, machines are made from what the store has, under the checkpoint's own name.
      if (substrate.plant === undefined) return { done: { handle: input.checkpointId } }
      const { files, bytes } = outputs.capture
      const missing = roomProblem({ entries: files, files, bytes, diskBytes: bytes + files * BLOCK_BYTES }, await ports.scratch.room())
      if (missing !== null)
        throw new AutovibeError('substrate.disk_full', `There is no room for ${files} files of ${bytes} bytes: ${missing} are missing.`, {
          fix: 'Free space on the disk of the data directory, then import it again.',
        })
      const store = await storeOf(ports, input.checkpointId)
      const write = (folder: string): Promise<void> => store.restore(outputs.capture.manifestSha256, folder, signal)
      const { handle } = await substrate.plant(input.machineId, input.checkpointId, write, signal)
      return { done: { handle } }
    },
    undo: ({ input, ports, signal }) => ports.substrate.dropSnapshot(input.checkpointId, signal),
  }
}

async function finish(context: Context<{ verify: ReadBack; plant: { handle: string | null } }>, tx: Tx): Promise<null> {
  const { input, ports, outputs } = context
  if (!outputs.verify.ok) return recordReadBack(context, tx, outputs.verify)
  const { substrate, isolation, copy } = ports.substrate.capabilities().tier
  await changeCheckpoint(tx, ports.runtime, input.checkpointId, 'verified', {
    verified_at: context.now,
    snapshot: outputs.plant.handle,
    consistency: 'consistent',
    substrate,
    isolation,
    copy_tier: copy,
  })
  return null
}

/** Both at the first step, for a refusal there: that undoes no other. There is no way back from it, so that it may run any number of times, by whoever holds the operation. */
async function givenUp(context: Context<object>): Promise<void> {
  const { input, ports } = context
  await archiveDropped(context)
  await ports.db.transaction().execute(async (tx) => {
    const { state } = await tx.selectFrom('checkpoints').select('state').where('id', '=', input.checkpointId).forUpdate().executeTakeFirstOrThrow()
    if (state !== 'failed') await storeFailed(context, tx)
  })
}

function archiveDropped({ input, ports }: { readonly input: ImportCheckpoint; readonly ports: Ports }): Promise<void> {
  return ports.imports.drop(input.checkpointId)
}

/** Whether an operation still needs the archive of this checkpoint. */
export async function isImportAwaited(db: Database, checkpointId: CheckpointId): Promise<boolean> {
  const operation = await db
    .selectFrom('operations')
    .select('id')
    .where('checkpoint_id', '=', checkpointId)
    .where('kind', '=', importCheckpoint.kind)
    .where('ended_at', 'is', null)
    .executeTakeFirst()
  return operation !== undefined
}
