/** Installs and lists agents. */
import { AGENTS } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import { agentName, findAgent, installAgent } from '../local/agents.ts'
import { makeDataDir } from '../local/hub-process.ts'
import { duration, plain, table } from '../render/text.ts'

export const agentInstall: Action<unknown> = async (context, [ref = '']) => {
  const name = agentName(ref)
  const { out, dataDir, signal } = context
  await makeDataDir(dataDir)
  const startedAt = performance.now()
  if (!out.interactive) out.note(`Installing ${name} into ${dataDir}/agents …`)
  out.live(`installing ${name}`)
  const agent = await installAgent(dataDir, name, { signal, onLine: (line) => out.live(`installing ${name}: ${plain(line)}`) })
  out.endLive()
  out.answer({ agent }, [
    agent.path === null
      ? `${name} comes with autovibe; there is nothing to install.`
      : `${out.paint.green('✓')} ${name} ${agent.version} in ${agent.path} (${duration(performance.now() - startedAt)})`,
  ])
  if (agent.path !== null) out.note(`Next: autovibe run "PROMPT" --agent ${name} --project PATH --budget 2.00`)
  return 0
}

export const agentList: Action<unknown> = async (context) => {
  const agents = await Promise.all(AGENTS.map((name) => findAgent(context.dataDir, name)))
  const [head = '', ...lines] = table(
    ['AGENT', 'INSTALLED', 'VERSION', 'PATH'],
    agents.map((agent) => [agent.name, agent.installed ? 'yes' : `no (autovibe agent install ${agent.name})`, agent.version ?? '-', agent.path ?? '-']),
  )
  context.out.answer({ agents }, [context.out.paint.bold(head), ...lines])
  return 0
}
