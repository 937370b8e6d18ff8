/** What the isolation tiers mean, in words a person reads before a run. */
import type { SubstrateTier } from '@autovibe/contract'

const ISOLATION: Record<SubstrateTier['isolation'], string> = {
  I4: 'a virtual machine with a kernel of its own, behind a firewall; the only way out is the Hub',
  I3: 'own namespaces for files, processes, users and network; the only way out is the Hub',
  I2: 'own namespaces for files, processes and network, as an ordinary user; the only way out is the Hub',
  I1: 'partly fenced in (Landlock, no IP network), in the host’s own namespaces: not for code that may be hostile',
  I0: 'NOT isolated: the machine is a bare process of this host, with its files and network',
}

const VM_COPY: Partial<Record<SubstrateTier['copy'], string>> = {
  C3: 'forks share the disks of their checkpoints',
  C1: 'forks get their files from the checkpoint store: this storage cannot share disks of snapshots',
}

const COPY: Record<SubstrateTier['copy'], string> = {
  C4: 'checkpoints are btrfs snapshots',
  C3: 'checkpoints are overlay layers',
  C2: 'checkpoints share blocks with their source',
  C1: 'checkpoints are plain copies, slower for large trees',
}

export const tierMeaning = (tier: SubstrateTier): string => `${tier.substrate} ${tier.isolation}: ${ISOLATION[tier.isolation] ?? 'unknown to this version'}`
export const copyMeaning = (tier: SubstrateTier): string =>
  `${tier.copy}: ${(tier.substrate === 'proxmox' ? VM_COPY[tier.copy] : undefined) ?? COPY[tier.copy] ?? 'unknown to this version'}`

/** Not for code that may be hostile, which every real agent's is. */
export const isTooWeak = ({ isolation }: SubstrateTier): boolean => isolation === 'I1' || isolation === 'I0'
