/** Parts of segments as they lie in the store, sealed: records of nodes are small and mostly wanted with their neighbours, and to ask the place for each would take longer than the reading. */
import { isUnread } from '../store-errors.ts'

/** Where windows begin in a segment: at the multiples of this. */
const STEP_BYTES = 128 * 1024
/** A window reaches so far into the next one: whoever begins in it and is no longer than this lies in it as a whole. */
const OVERLAP_BYTES = 32 * 1024
const KEPT_MAX = 32

export class Windows {
  /** The one that was used last comes last. */
  readonly #kept = new Map<string, Promise<Buffer | null>>()

  /** The bytes of one segment from `offset` on, fewer where it ends; null when there is none. `read` asks the place for a range of it. */
  async get(segmentId: string, offset: number, length: number, read: (offset: number, length: number) => Promise<Buffer | null>): Promise<Buffer | null> {
    if (length > OVERLAP_BYTES) return await read(offset, length)
    const start = startOf(offset)
    try {
      const window = await this.#window(`${segmentId}/${start}`, () => read(start, STEP_BYTES + OVERLAP_BYTES))
      return window?.subarray(offset - start, offset - start + length) ?? null
    } catch (error) {
      // What lies beside it may be what the disk does not give.
      if (isUnread(error)) return await read(offset, length)
      throw error
    }
  }

  /** The next look reads what lies there anew. */
  forget(segmentId: string, offset: number): void {
    this.#kept.delete(`${segmentId}/${startOf(offset)}`)
  }

  clear(): void {
    this.#kept.clear()
  }

  #window(name: string, read: () => Promise<Buffer | null>): Promise<Buffer | null> {
    const window = this.#kept.get(name) ?? read()
    this.#kept.delete(name)
    this.#kept.set(name, window)
    const forget = (): void => {
      if (this.#kept.get(name) === window) this.#kept.delete(name)
    }
    // What is not there, or was not given, may be at the next look.
    window.then((bytes) => bytes === null && forget(), forget)
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_MAX) break
      this.#kept.delete(oldest)
    }
    return window
  }
}

const startOf = (offset: number): number => offset - (offset % STEP_BYTES)
