/** Cuts a byte stream into the lines of an event stream, and holds no more than one. Lines are strings of bytes (Latin-1): quick to search, and exact to give back. */
import { LIMITS } from '../limits.ts'

/** What is done with the pieces, in their order; together they are every byte that came. */
export interface LineReader {
  /** A whole line with its line break, or the last one without. */
  line(line: string): void
  /** A piece of a line that is too long to hold. */
  piece(piece: string): void
}

export class EventLines {
  readonly #reader: LineReader
  #held = ''
  #passing = false

  constructor(reader: LineReader) {
    this.#reader = reader
  }

  /** Nothing is held back: all that came has been handed on. */
  get empty(): boolean {
    return this.#held === ''
  }

  push(chunk: Uint8Array): void {
    const text = bytesToText(chunk)
    let from = 0
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', from)) {
      this.#lineEnds(text.slice(from, at + 1))
      from = at + 1
    }
    if (from === text.length) return
    const rest = from === 0 ? text : text.slice(from)
    if (this.#passing) this.#reader.piece(rest)
    else this.#hold(rest)
  }

  /** The stream is over; a last line without a line break counts too. */
  end(): void {
    if (this.#held !== '') this.#reader.line(this.#release())
  }

  #lineEnds(tail: string): void {
    if (this.#passing) {
      this.#passing = false
      this.#reader.piece(tail)
    } else this.#reader.line(this.#held === '' ? tail : this.#release() + tail)
  }

  #hold(rest: string): void {
    this.#held += rest
    if (this.#held.length <= LIMITS.eventLineBytes) return
    this.#passing = true
    this.#reader.piece(this.#release())
  }

  #release(): string {
    const held = this.#held
    this.#held = ''
    return held
  }
}

const bytesToText = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')

/** The bytes of a text that was made of bytes. */
export const textToBytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')

const DATA = 'data:'
export const isData = (line: string): boolean => line.startsWith(DATA)

/** The JSON of a data line; undefined when it is none: it cannot carry figures, and without figures a call is settled at its bound. */
export function jsonOf(line: string): unknown {
  try {
    return JSON.parse(Buffer.from(line.slice(DATA.length), 'latin1').toString('utf8'))
  } catch {
    return undefined
  }
}
