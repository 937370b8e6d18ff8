/** Takes lines and counted bytes out of a stream, as `git cat-file --batch` mixes them. */
import { AutovibeError } from '@autovibe/contract'

const LINE_BYTES_MAX = 4096
const NEW_LINE = 0x0a

export class LineReader {
  readonly #chunks: AsyncIterator<Buffer>
  #held: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Buffer>) {
    this.#chunks = source[Symbol.asyncIterator]()
  }

  async line(): Promise<string> {
    for (;;) {
      const end = this.#held.indexOf(NEW_LINE)
      if (end !== -1) {
        const line = this.#held.toString('latin1', 0, end)
        this.#held = this.#held.subarray(end + 1)
        return line
      }
      if (this.#held.length > LINE_BYTES_MAX) throw cutOff()
      await this.#more()
    }
  }

  async exactly(count: number): Promise<Buffer> {
    const parts: Buffer[] = []
    for await (const piece of this.pieces(count)) parts.push(piece)
    return Buffer.concat(parts)
  }

  async *pieces(count: number): AsyncGenerator<Buffer, void> {
    for (let left = count; left > 0; ) {
      if (this.#held.length === 0) await this.#more()
      const piece = this.#held.subarray(0, left)
      this.#held = this.#held.subarray(piece.length)
      left -= piece.length
      yield piece
    }
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#chunks.next()
    if (done === true) throw cutOff()
    this.#held = this.#held.length === 0 ? value : Buffer.concat([this.#held, value])
  }
}

const cutOff = (): AutovibeError => new AutovibeError('project.source_invalid', 'git ended before it had said everything.')
