/** The agents that a person may name. */
import { AGENTS, type AgentName, AutovibeError } from '@autovibe/contract'
import { nearest } from './render/nearest.ts'

/** The agent of this name; `agent.unknown` with the nearest name when there is none, in a fix that `say` writes. */
export function agentName(text: string, say = (name: string) => `--agent ${name}`): AgentName {
  const known = AGENTS.find((agent) => agent === text)
  if (known !== undefined) return known
  const meant = nearest(text, AGENTS)
  throw new AutovibeError('agent.unknown', `There is no agent ${JSON.stringify(text)}, only: ${AGENTS.join(', ')}.`, { fix: say(meant ?? 'builtin') })
}
