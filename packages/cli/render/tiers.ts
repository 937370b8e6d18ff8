/** What the isolation tiers mean, in words a person reads before a run. */
import type { SubstrateTier } from '@autovibe/contract'

const ISOLATION: Record<SubstrateTier['isolation'], string> = {
  I3: 'own namespaces for files, processes, users and network; the only way out is the Hub',
  I2: 'own namespaces for files, processes and network, as an ordinary user; the only way out is the Hub',
  I1: 'partly fenced in (Landlock, no IP network), in the host’s own namespaces: not for code that may be hostile',
  I0: 'NOT isolated: the machine is a bare process of this host, with its files and network',
}

const COPY: Record<SubstrateTier['copy'], string> = {
  C4: 'checkpoints are btrfs snapshots',
  C3: 'checkpoints are overlay layers',
  C2: 'checkpoints share blocks with their source',
  C1: 'checkpoints are plain copies, slower for large trees',
}

export const tierMeaning = (tier: SubstrateTier): string => `${tier.substrate} ${tier.isolation}: ${ISOLATION[tier.isolation] ?? 'unknown to this version'}`
export const copyMeaning = (tier: SubstrateTier): string => `${tier.copy}: ${COPY[tier.copy] ?? 'unknown to this version'}`

/** Not for code that may be hostile, which every real agent's is. */
export const isTooWeak = ({ isolation }: SubstrateTier): boolean => isolation !== 'I3' && isolation !== 'I2'
