/** Who has turned off a VM that should still be on: somebody by a task, or its node, which has restarted. */
import { AutovibeError } from '@autovibe/contract'
import { type Build, buildCommand } from './site.ts'

/** What somebody does to a VM that leaves it off, or as if it had just been started. */
const STOPPING = new Set(['qmstop', 'qmshutdown', 'qmreset', 'qmreboot', 'qmsuspend'])
const MOST_LISTED = 500
/** How far the clocks of a node and of the Hub may be apart; a node takes longer to restart. */
const SKEW_S = 60

export async function assertEndedByItself({ client, plan, signal }: Build): Promise<void> {
  const { node, vmid } = plan
  const tasks = await client.call('GET /nodes/{node}/tasks', { node, vmid, source: 'all', limit: MOST_LISTED }, { signal })
  const starts = tasks.filter(({ type, id }) => type === 'qmstart' && id === String(vmid)).map(({ starttime }) => starttime)
  // The list goes back a thousand tasks; a start that is not in it says nothing.
  if (starts.length === 0) return
  const startedS = Math.max(...starts)
  const stop = tasks.find(({ type, id, starttime }) => STOPPING.has(type) && id === String(vmid) && starttime >= startedS)
  if (stop !== undefined) throw stoppedEarly(plan, `somebody has stopped it (${stop.type} by ${stop.user})`)
  const { uptime } = await client.call('GET /nodes/{node}/status', { node }, { signal })
  const nowS = client.clock.nowMs() / 1000
  if (uptime !== undefined && nowS - uptime > startedS + SKEW_S) throw stoppedEarly(plan, `${node} has restarted meanwhile`)
}

const stoppedEarly = (plan: Build['plan'], why: string): AutovibeError =>
  new AutovibeError('substrate.failed', `VM ${plan.vmid} is off, but not by itself: ${why}. What is on its disk is half a template.`, {
    fix: `Begin anew: ${buildCommand(plan, ' --abandon')}`,
  })
