/** Takes counted bytes out of a stream of chunks, holding no more than what was asked for. */
import { archiveInvalid } from './read-header.ts'

const NOTHING = new Uint8Array(0)

export class StreamBytes {
  readonly #chunks: AsyncIterator<Uint8Array>
  #held: Uint8Array = NOTHING
  #ended = false
  #taken = 0

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]()
  }

  /** How many bytes were taken so far. */
  get position(): number {
    return this.#taken - this.#held.length
  }

  /** What comes next, in whatever pieces; null at the end. */
  async next(): Promise<Uint8Array | null> {
    while (this.#held.length === 0) {
      const { done, value } = this.#ended ? { done: true, value: undefined } : await this.#chunks.next()
      if (done === true || value === undefined) {
        this.#ended = true
        return null
      }
      this.#held = value
      this.#taken += value.length
    }
    const chunk = this.#held
    this.#held = NOTHING
    return chunk
  }

  /** At least one byte, and no more than so many. */
  async atMost(count: number): Promise<Uint8Array> {
    const chunk = await this.next()
    if (chunk === null) throw archiveInvalid('it ends early')
    this.#held = chunk.subarray(count)
    return chunk.subarray(0, count)
  }

  async exactly(count: number): Promise<Uint8Array> {
    const first = count === 0 ? NOTHING : await this.atMost(count)
    if (first.length === count) return first
    const all = new Uint8Array(count)
    all.set(first)
    for (let at = first.length; at < count; ) {
      const chunk = await this.atMost(count - at)
      all.set(chunk, at)
      at += chunk.length
    }
    return all
  }

  /** Lets whoever gives the chunks end, where they were not all taken. */
  async close(): Promise<void> {
    if (!this.#ended) await this.#chunks.return?.()
  }
}
