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
  newId: (kind) => encodeId(kind, Date.now(), randomBytes(10)),
}
