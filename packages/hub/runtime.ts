/** Time, chance and ids as the composition root hands them down, so that a test can own them. */
import { randomBytes } from 'node:crypto'
import type { Id, IdKind } from '@autovibe/contract'
import { encodeId } from '@autovibe/core/ids.ts'

export interface Runtime {
  now(): Date
  randomBytes(size: number): Buffer
  newId<K extends IdKind>(kind: K): Id<K>
}

/** The real clock and the kernel's randomness. */
export const systemRuntime: Runtime = {
  now: () => new Date(),
  randomBytes: (size) => randomBytes(size),
  newId: (kind) => encodeId(kind, Date.now(), nextChance()),
}

const CHANCE_BYTES = 10
/** The kernel is asked for the chance of many ids at once. */
let pool = Buffer.alloc(0)
let used = 0

function nextChance(): Uint8Array {
  if (used + CHANCE_BYTES > pool.length) {
    pool = randomBytes(CHANCE_BYTES * 512)
    used = 0
  }
  used += CHANCE_BYTES
  return pool.subarray(used - CHANCE_BYTES, used)
}
