/** Which trees on a machine's disk, and which snapshots of its VM, may go: nothing that only this disk has, and nothing that the next capture is told against. */

/**
 * What the store has of a checkpoint. `kept`: read back whole. `coming`: on its way. `lost`: neither, although nobody let go of it, so that the machine's own copy may be the
 * last one. `gone`: let go of, or never heard of.
 */
export type StoredState = 'kept' | 'coming' | 'lost' | 'gone'

/** Whether a copy of its own on a machine's disk is needed for it. */
export const isNeededOnDisk = (state: StoredState): boolean => state === 'coming' || state === 'lost'

export interface FrozenTree<Id extends string> {
  readonly id: Id
  readonly state: StoredState
}

/** The newest of those that the store has: the next capture tells what changed since. */
const KEPT_FOR_THE_NEXT = 1

/** Of frozen trees, oldest first, those that may be thawed. */
export function thawable<Id extends string>(frozen: readonly FrozenTree<Id>[]): Id[] {
  const firstComing = frozen.findIndex(({ state }) => state === 'coming')
  const kept = frozen.flatMap(({ state }, index) => (state === 'kept' ? [index] : []))
  // A capture that is still to come is told against the newest tree before it that the store has; the one after all, against the newest of all.
  const bases = new Set([...kept.slice(-KEPT_FOR_THE_NEXT), ...kept.filter((index) => firstComing !== -1 && index < firstComing).slice(-KEPT_FOR_THE_NEXT)])
  return frozen.flatMap(({ id, state }, index) => (isNeededOnDisk(state) || bases.has(index) ? [] : [id]))
}
