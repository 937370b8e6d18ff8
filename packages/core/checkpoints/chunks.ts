/**
 * Where a large content is parted: at places that its own bytes decide, so that an edit changes the chunks that it touches and no others. The rolling hash is "gear" hashing with two
 * masks (FastCDC, Xia et al., USENIX ATC 2016): cutting is harder before the wanted length and easier beyond it, which keeps lengths close to it.
 */

export const CHUNK_BYTES = { min: 256 * 1024, wanted: 1024 * 1024, max: 4 * 1024 * 1024 } as const

/** 2^20 is the wanted length: two bits more before it, two fewer after. The high bits have seen the last 32 bytes; the low ones only the last few. */
const HARD = 0xfffffc00 | 0
const EASY = 0xffffc000 | 0

export const GEARS = 256

/** How long the chunk is that `bytes` begin with: the whole of them when they hold no cut and end before the longest chunk. `gears`: 256 random numbers of 32 bits. */
export function chunkLength(bytes: Uint8Array, gears: Uint32Array): number {
  if (gears.length !== GEARS) throw new RangeError(`there are ${GEARS} gears`)
  const end = Math.min(bytes.length, CHUNK_BYTES.max)
  if (end <= CHUNK_BYTES.min) return end
  let hash = 0
  let at: number = CHUNK_BYTES.min
  for (const [until, mask] of [
    [Math.min(end, CHUNK_BYTES.wanted), HARD],
    [end, EASY],
  ] as const) {
    for (; at < until; at++) {
      hash = ((hash << 1) + (gears[bytes[at] ?? 0] ?? 0)) | 0
      if ((hash & mask) === 0) return at + 1
    }
  }
  return end
}
