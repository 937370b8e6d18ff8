/** The agents that this machine can be asked for; each is loaded when it is first needed, because the SDK alone takes 100 ms. */
import type { AgentName } from '@autovibe/contract'
import type { Adapter } from './adapter.ts'

const ADAPTERS: Readonly<Record<AgentName, () => Promise<Adapter>>> = {
  builtin: async () => (await import('./builtin/builtin.ts')).builtin,
  'claude-code': async () => (await import('./claude-code/claude-code.ts')).claudeCode,
}

export const ALL_AGENTS = Object.keys(ADAPTERS) as AgentName[]

export function adapterOf(name: AgentName): Promise<Adapter> {
  return ADAPTERS[name]()
}
