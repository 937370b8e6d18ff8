/** With what a run goes on in a machine that has had one. */
import type { AgentName, Run } from '@autovibe/contract'

/** What was said; undefined where nothing was. */
export interface Said {
  readonly agent: AgentName | undefined
  readonly provider: string | undefined
  readonly model: string | undefined
}

export interface Chosen {
  readonly agent: AgentName
  readonly provider: string
  /** Undefined: the default of the provider. */
  readonly model: string | undefined
}

/** What was said, else what the machine's last run had: a machine at work with one provider need not have the key of another. */
export function goOnWith({ agent, provider, model }: Said, last: Pick<Run, 'agent' | 'provider' | 'model'> | undefined): Chosen {
  const chosen = { agent: agent ?? last?.agent ?? 'builtin', provider: provider ?? last?.provider ?? 'anthropic' }
  // A model is one of its provider, and not every agent calls each.
  const isAsBefore = chosen.agent === last?.agent && chosen.provider === last.provider
  return { ...chosen, model: model ?? (isAsBefore ? last.model : undefined) }
}
