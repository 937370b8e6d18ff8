/** Lets an event stream go on event by event: what is cut off in the middle of one is held back, because a client would take the half for the whole. */
import { LIMITS } from './limits.ts'

const NOTHING = new Uint8Array(0)
const NEW_LINE = 0x0a
const CARRIAGE_RETURN = 0x0d

export class WholeEvents {
  #held: Buffer | null = null

  /** Takes the next piece and returns all that may go on; the piece itself when it ends with an event. An event that is too long to hold goes on as it comes. */
  push(piece: Uint8Array): Uint8Array {
    if (piece.length === 0) return piece
    const bytes = this.#held ? Buffer.concat([this.#held, piece]) : Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    const end = bytes.length > LIMITS.eventLineBytes ? bytes.length : endOfLastEvent(bytes)
    this.#held = end === bytes.length ? null : bytes.subarray(end)
    return end === bytes.length ? bytes : bytes.subarray(0, end)
  }

  /** What is held back; to be given on only when the stream is known to be whole. */
  rest(): Uint8Array {
    const held = this.#held ?? NOTHING
    this.#held = null
    return held
  }
}

/** Where the last event ends, with the empty line that ends it. */
function endOfLastEvent(bytes: Buffer): number {
  for (let at = bytes.lastIndexOf(NEW_LINE); at > 0; at = bytes.lastIndexOf(NEW_LINE, at - 1)) {
    const before = bytes[at - 1] === CARRIAGE_RETURN ? at - 2 : at - 1
    if (bytes[before] === NEW_LINE) return at + 1
  }
  return 0
}
