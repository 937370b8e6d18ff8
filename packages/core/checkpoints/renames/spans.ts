/** How alike two texts are, counted as git does (diffcore-delta): by the bytes of the lines that both have, wherever they stand. */

/** The pieces of a text: lines, or 64 bytes of a longer one, each by a hash, with the bytes that it takes in all. Sorted by hash. */
export interface Spans {
  readonly hashes: Uint32Array
  readonly bytes: Uint32Array
  /** Of the whole text. */
  readonly size: number
}

const SPAN_BYTES = 64
const [LF, CR] = [0x0a, 0x0d]
/** FNV-1a, 32 bits. */
const [OFFSET_BASIS, PRIME] = [0x811c9dc5, 0x01000193]

export function spansOf(text: Uint8Array): Spans {
  const counts = new Map<number, number>()
  let hash = OFFSET_BASIS
  let length = 0
  const end = (): void => {
    counts.set(hash, (counts.get(hash) ?? 0) + length)
    hash = OFFSET_BASIS
    length = 0
  }
  for (let at = 0; at < text.length; at++) {
    const byte = text[at] as number
    // A changed way to end lines alone makes no other text.
    if (byte === CR && text[at + 1] === LF) continue
    hash = Math.imul(hash ^ byte, PRIME) >>> 0
    length++
    if (byte === LF || length === SPAN_BYTES) end()
  }
  if (length > 0) end()
  const hashes = Uint32Array.from(counts.keys()).sort()
  return { hashes, bytes: hashes.map((each) => counts.get(each) ?? 0), size: text.length }
}

/** What is common, of the larger, in whole percent (rounded down). */
export function similarity(a: Spans, b: Spans): number {
  const size = Math.max(a.size, b.size)
  if (size === 0) return 100
  let common = 0
  for (let left = 0, right = 0; left < a.hashes.length && right < b.hashes.length; ) {
    const [x, y] = [a.hashes[left] as number, b.hashes[right] as number]
    if (x === y) common += Math.min(a.bytes[left] as number, b.bytes[right] as number)
    if (x <= y) left++
    if (y <= x) right++
  }
  return Math.floor((common * 100) / size)
}
