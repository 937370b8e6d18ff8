/** Reads HTTP/1.1 messages out of the bytes of a connection and looks at no more than their ends: little enough work to outrun every server that is measured. */

export interface Message {
  /** Its first line and its headers. */
  readonly head: string
  /** How long its body was, without the framing. */
  readonly bytes: number
  /** Kept when the reader was asked to. */
  readonly body: Buffer
}

export interface MessageReaderOptions {
  /** Called at the first byte of a body. */
  readonly onFirstByte?: () => void
  readonly onMessage: (message: Message) => void
  /** Whether bodies are kept; asked with each head. */
  readonly keeps?: (head: string) => boolean
}

const CR = 13
const LF = 10
const END_OF_HEAD = Buffer.from('\r\n\r\n')
const HEAD_MAX_BYTES = 64 * 1024
const NOTHING = Buffer.alloc(0)

type State = 'head' | 'sized' | 'chunk size' | 'chunk' | 'after chunk' | 'trailer'

/** For messages with a length or in chunks, one after the other on one connection; throws at anything else. */
export class MessageReader {
  readonly #options: MessageReaderOptions
  #state: State = 'head'
  #start = NOTHING
  #head = ''
  #left = 0
  #lineBytes = 0
  #sizeIsRead = false
  #bytes = 0
  #kept: Buffer[] | null = null

  constructor(options: MessageReaderOptions) {
    this.#options = options
  }

  /** The bytes may be used again by the caller afterwards. */
  push(piece: Buffer): void {
    let at = 0
    while (at < piece.length) at = this.#state === 'head' ? this.#readHead(piece, at) : this.#readBody(piece, at)
  }

  #readHead(piece: Buffer, at: number): number {
    const before = this.#start.length
    const all = before === 0 ? piece.subarray(at) : Buffer.concat([this.#start, piece.subarray(at)])
    const end = all.indexOf(END_OF_HEAD)
    if (end < 0) {
      if (all.length > HEAD_MAX_BYTES) throw new Error('a message had no end of its headers')
      this.#start = Buffer.from(all)
      return piece.length
    }
    this.#start = NOTHING
    this.#head = all.toString('latin1', 0, end)
    this.#bytes = 0
    this.#kept = this.#options.keeps?.(this.#head) ? [] : null
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#head)?.[1]
    if (length !== undefined) {
      this.#left = Number(length)
      this.#state = 'sized'
      if (this.#left === 0) this.#end()
    } else if (/\r\ntransfer-encoding: *chunked/i.test(this.#head)) this.#awaitChunk()
    else throw new Error(`a message had neither a length nor chunks: ${this.#head.slice(0, 500)}`)
    return at + end + END_OF_HEAD.length - before
  }

  #readBody(piece: Buffer, at: number): number {
    if (this.#state === 'sized' || this.#state === 'chunk') return this.#readData(piece, at)
    const byte = piece[at] ?? 0
    if (this.#state === 'chunk size') {
      if (byte !== LF) this.#addDigit(byte)
      else if (this.#left > 0) this.#state = 'chunk'
      else {
        this.#state = 'trailer'
        this.#lineBytes = 0
      }
    } else if (this.#state === 'after chunk') {
      if (byte === LF) this.#awaitChunk()
    } else if (byte === LF && this.#lineBytes === 0) this.#end()
    else if (byte === LF) this.#lineBytes = 0
    else if (byte !== CR) this.#lineBytes++
    return at + 1
  }

  #readData(piece: Buffer, at: number): number {
    const taken = Math.min(this.#left, piece.length - at)
    if (this.#bytes === 0) this.#options.onFirstByte?.()
    this.#bytes += taken
    this.#left -= taken
    this.#kept?.push(Buffer.from(piece.subarray(at, at + taken)))
    if (this.#left === 0) {
      if (this.#state === 'sized') this.#end()
      else this.#state = 'after chunk'
    }
    return at + taken
  }

  /** A chunk's length stands in hexadecimal digits; what follows them up to the end of the line means nothing to us. */
  #addDigit(byte: number): void {
    const digit = this.#sizeIsRead ? -1 : digitOf(byte)
    if (digit < 0) this.#sizeIsRead = true
    else this.#left = this.#left * 16 + digit
  }

  #awaitChunk(): void {
    this.#state = 'chunk size'
    this.#left = 0
    this.#sizeIsRead = false
  }

  #end(): void {
    const body = this.#kept ? Buffer.concat(this.#kept) : NOTHING
    this.#state = 'head'
    this.#kept = null
    this.#options.onMessage({ head: this.#head, bytes: this.#bytes, body })
  }
}

function digitOf(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const lower = byte | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}
