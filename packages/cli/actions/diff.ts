/** Shows what changed as a patch that `git apply` takes too. */
import type { Action } from '../commands/define.ts'
import type { DiffOptions } from '../commands/diff.ts'
import { renderDiff, renderStat } from '../render/diff.ts'
import { resolveCheckpoint } from '../resolve.ts'
import { wholeId } from '../short-ids.ts'
import { checkpointRef } from './checkpoint.ts'

export const diff: Action<DiffOptions> = async (context, [ref], options) => {
  const since = options.against === undefined ? undefined : checkpointRef(options.against)
  const client = await context.connect()
  const { out, signal } = context
  const { checkpoint, chosen } = await resolveCheckpoint(client, ref, { signal })
  if (chosen !== null) out.note(chosen)
  const against = since === undefined ? undefined : await wholeId(client, since, { signal })
  const changes = await client.checkpoints.diff(checkpoint.id, against, { signal })
  if (changes.files.length === 0) out.note(`Nothing changed between ${changes.against_id} and ${changes.checkpoint_id}.`)
  out.answer(changes, options.stat === true ? renderStat(changes, out.paint) : renderDiff(changes, out.paint, { raw: process.stdout.isTTY !== true }))
  if (changes.files.length > 0 && out.interactive) {
    out.note('')
    out.next([`autovibe apply ${checkpoint.id}`, `autovibe apply ${checkpoint.id} --branch ${checkpoint.machine_name}`])
  }
  return 0
}
