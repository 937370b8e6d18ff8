/** Shows what changed as a patch that `git apply` takes too. */
import type { Action } from '../commands/define.ts'
import type { DiffOptions } from '../commands/diff.ts'
import { renderDiff, renderStat } from '../render/diff.ts'
import { resolveCheckpoint } from '../resolve.ts'
import { checkpointId } from './checkpoint.ts'

export const diff: Action<DiffOptions> = async (context, [ref], options) => {
  const against = options.against === undefined ? undefined : checkpointId(options.against)
  const client = await context.connect()
  const { out, signal } = context
  const checkpoint = await resolveCheckpoint(client, ref, { signal })
  const changes = await client.checkpoints.diff(checkpoint.id, against, { signal })
  if (changes.files.length === 0) out.note(`Nothing changed between ${changes.against_id} and ${changes.checkpoint_id}.`)
  out.answer(changes, options.stat === true ? renderStat(changes, out.paint) : renderDiff(changes, out.paint, { raw: process.stdout.isTTY !== true }))
  if (changes.files.length > 0 && out.interactive)
    out.note(`\nNext: autovibe apply ${ref ?? checkpoint.machine_name} | apply ${ref ?? checkpoint.machine_name} --branch NAME`)
  return 0
}
