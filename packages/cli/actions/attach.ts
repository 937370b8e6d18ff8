/** Follows a run that goes on, from its beginning. */
import type { Machine } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import { plain, truncate } from '../render/text.ts'
import { resolveRun } from '../resolve.ts'
import { followToEnd } from './following.ts'

const AT_REST: ReadonlySet<Machine['state']> = new Set(['stopping', 'stopped', 'failed', 'booting'])

export const attach: Action<unknown> = async (context, [ref]) => {
  const client = await context.connect()
  const run = await resolveRun(client, ref, { signal: context.signal })
  context.out.note(`${run.machine_name}: ${truncate(plain(run.prompt), 120)}`)
  // Only the end of a Hub leaves a run running without its machine.
  if (run.state === 'running' && AT_REST.has((await client.machines.get(run.machine_id, { signal: context.signal })).state))
    context.out.note('Its machine is being taken up again after the Hub was stopped; the run goes on as soon as it works.')
  return followToEnd(context, client, { runId: run.id })
}
