/** The life of an archive, Proxmox's own copy of a whole machine: which state leads where, and which archives are more than a machine keeps. */
import { AutovibeError, type MachineArchiveState } from '@autovibe/contract'

/** Every change of state there is. */
const NEXT: Readonly<Record<MachineArchiveState, readonly MachineArchiveState[]>> = {
  taking: ['stored', 'failed'],
  stored: ['removing'],
  // Back when it could not be removed.
  removing: ['removed', 'stored'],
  failed: ['removed'],
  removed: [],
}

/** The state it becomes, or `conflict.state`. The state that it has already is no change, and always allowed. */
export function nextArchiveState(from: MachineArchiveState, to: MachineArchiveState): MachineArchiveState {
  if (from === to || NEXT[from].includes(to)) return to
  throw new AutovibeError('conflict.state', `An archive that is ${from} cannot become ${to}.`, { fix: 'autovibe machine archives' })
}

interface Kept<Id extends string> {
  readonly id: Id
  readonly verification: string | null
  /** It is no longer on its storage. */
  readonly missing: boolean
}

/**
 * Those that go, of the stored ones of a machine: all but the newest `keep`. One whose copy the server has found damaged, or that is missing, is not counted among these, so
 * that good ones do not go for it; it goes with the older ones. While none of those that stay was verified, the newest one that was stays too.
 */
export function surplusArchives<Id extends string>(archives: readonly Kept<Id>[], keep: number): Id[] {
  // Ids sort by time.
  const newestFirst = archives.toSorted((left, right) => (left.id < right.id ? 1 : -1))
  let kept = 0
  let isSure = false
  return newestFirst.flatMap(({ id, verification, missing }) => {
    const isVerified = verification === 'ok' && !missing
    if (kept >= keep && (isSure || !isVerified)) return [id]
    if (verification !== 'failed' && !missing) kept += 1
    isSure ||= isVerified
    return []
  })
}
