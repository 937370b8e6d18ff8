/** Has the Hub install agents, and lists them. */
import { agentName } from '../agent-names.ts'
import { AUTOVIBE } from '../called.ts'
import type { Action } from '../commands/define.ts'
import { duration, table } from '../render/text.ts'

const TICK_MS = 1000

export const agentInstall: Action<unknown> = async (context, [ref = '']) => {
  const name = agentName(ref, (known) => `autovibe agent install ${known === 'builtin' ? 'claude-code' : known}`)
  const { out, signal } = context
  const { client } = await context.ensureHub()
  const startedAt = performance.now()
  if (!out.interactive) out.note(`Installing ${name} …`)
  const tell = () => out.live(`installing ${name} (${duration(performance.now() - startedAt)})`)
  tell()
  const ticking = setInterval(tell, TICK_MS)
  const agent = await client.hub.installAgent(name, { signal }).finally(() => {
    clearInterval(ticking)
    out.endLive()
  })
  out.answer({ agent }, [
    agent.path === null
      ? `${name} comes with autovibe; there is nothing to install.`
      : `${out.paint.green('✓')} ${name} ${agent.version} in ${agent.path} (${duration(performance.now() - startedAt)})`,
  ])
  if (agent.path !== null) out.next([`autovibe run "PROMPT" --agent ${name} --project PATH --budget 2.00`])
  return 0
}

export const agentList: Action<unknown> = async (context) => {
  const client = await context.connect()
  const agents = await client.hub.agents({ signal: context.signal }).take(100)
  const [head = '', ...lines] = table(
    ['AGENT', 'INSTALLED', 'VERSION', 'PATH'],
    agents.map((agent) => [agent.name, agent.installed ? 'yes' : `no (${AUTOVIBE} agent install ${agent.name})`, agent.version ?? '-', agent.path ?? '-']),
  )
  context.out.answer({ agents }, [context.out.paint.bold(head), ...lines])
  return 0
}
