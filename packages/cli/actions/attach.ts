/** Follows a run that goes on, from its beginning. */
import type { Action } from '../commands/define.ts'
import { plain, truncate } from '../render/text.ts'
import { resolveRun } from '../resolve.ts'
import { followToEnd } from './following.ts'

export const attach: Action<unknown> = async (context, [ref]) => {
  const client = await context.connect()
  const run = await resolveRun(client, ref, { signal: context.signal })
  context.out.note(`${run.machine_name}: ${truncate(plain(run.prompt), 120)}`)
  return followToEnd(context, client, { runId: run.id })
}
