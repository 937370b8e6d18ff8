/** Which wires the agents speak: a run can only use a provider that its agent understands. */
import type { AgentName, ProviderWire } from '@autovibe/contract'

export const AGENT_WIRES: Readonly<Record<AgentName, readonly ProviderWire[]>> = {
  builtin: ['anthropic'],
  'claude-code': ['anthropic'],
}
