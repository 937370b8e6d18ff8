/** What becomes of each segment of a store in one look of a collector: a pure decision, so that every order of events can be tried. */

export interface SegmentState {
  readonly id: string
  /** Of all objects in it, before compression. */
  readonly plainBytes: number
  /** Of those that some checkpoint needs; in a condemned segment only those that lie in none that is not. */
  readonly neededBytes: number
  /** Its table could not be read. */
  readonly damaged: boolean
  /** Null: nobody has condemned it. `intents`: who was writing after it was condemned, null while nobody has looked. */
  readonly condemned: { readonly intents: readonly string[] | null } | null
}

export type SegmentAction =
  | { readonly kind: 'keep' | 'condemn' | 'delete' | 'wait'; readonly id: string }
  /** What is needed of it is written anew elsewhere; then it is condemned, if it is not. */
  | { readonly kind: 'move'; readonly id: string }
  /** From now on those are waited for. */
  | { readonly kind: 'note'; readonly id: string; readonly intents: readonly string[] }

/** Below this share of needed bytes, what is needed is moved. */
const SPARSE = 0.4
/** In one look no more is moved, so that it ends. */
const MOVED_BYTES_MAX = 512 * 1024 * 1024

/**
 * A segment that nobody needs is condemned, for good: a writer that begins from then on takes what lies in it for missing. It is deleted at a later look, when everyone has ended who was writing when
 * it was condemned, and what they kept by then is among the names that this look has followed. Any number of collectors may do so at once, however late each acts on what it saw: a segment
 * is deleted only for one that was not condemned yet at that time, so of all that hold an object the one that was condemned last, or never, is never deleted for another.
 */
export function planCollection(segments: readonly SegmentState[], intents: ReadonlySet<string>): SegmentAction[] {
  let movedBytes = 0
  const moveOr = (otherwise: SegmentAction, { id, neededBytes }: SegmentState): SegmentAction => {
    if (movedBytes + neededBytes > MOVED_BYTES_MAX && movedBytes > 0) return otherwise
    movedBytes += neededBytes
    return { kind: 'move', id }
  }
  return segments.map((segment): SegmentAction => {
    const { id, condemned, neededBytes } = segment
    if (condemned === null) {
      if (neededBytes === 0) return { kind: 'condemn', id }
      const isSparse = segment.damaged || neededBytes < segment.plainBytes * SPARSE
      return isSparse ? moveOr({ kind: 'keep', id }, segment) : { kind: 'keep', id }
    }
    if (neededBytes > 0) return moveOr({ kind: 'wait', id }, segment)
    if (condemned.intents === null) return { kind: 'note', id, intents: [...intents] }
    return { kind: condemned.intents.some((intent) => intents.has(intent)) ? 'wait' : 'delete', id }
  })
}
