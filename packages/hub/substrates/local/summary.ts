/** What the tiers of this host mean, in words that a person reads before a run. */
import type { CopyTier } from '@autovibe/contract'
import { landlockGaps } from './findings.ts'
import type { Offer } from './host.ts'

const COPIES: Readonly<Record<CopyTier, string>> = {
  C4: 'btrfs snapshots',
  C3: 'overlay layers',
  C2: 'copies that share blocks',
  C1: 'plain copies',
}

export const summaryOf = (offer: Offer): string => `${fenceOf(offer)}; ${COPIES[offer.copy]}`

function fenceOf({ isolation, filter, landlockAbi }: Offer): string {
  if (isolation === 'I0') return 'bare processes of the Hub’s user, not fenced in'
  if (isolation === 'I1') {
    const gaps = ['the list of processes', 'other unix sockets of the Hub’s user', 'modes and times of its files', 'resources', ...landlockGaps(landlockAbi)]
    return `Landlock and seccomp, not for hostile code: what files hold and all IP networks are fenced off; not fenced: ${gaps.join(', ')}`
  }
  const filtered = filter === null ? 'WITHOUT seccomp' : 'system calls filtered'
  return `bubblewrap ${isolation === 'I3' ? 'as root' : 'as an ordinary user'}: all namespaces, no capabilities, ${filtered}, no network but the Hub`
}
