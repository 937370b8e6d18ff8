/** The binary frames of an exec and the flow of its streams: the first byte names the stream, and whoever sends stays within what the receiver has granted. */
import { EXEC_LIMITS } from './exec.ts'

export const EXEC_STREAMS = ['stdin', 'stdout', 'stderr'] as const
export type ExecStream = (typeof EXEC_STREAMS)[number]

export interface ExecData {
  readonly stream: ExecStream
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** One binary frame; `bytes` has 1 to `EXEC_LIMITS.dataBytes` bytes. */
export function packExecData(stream: ExecStream, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  if (bytes.length === 0 || bytes.length > EXEC_LIMITS.dataBytes)
    throw new RangeError(`a frame carries 1 to ${EXEC_LIMITS.dataBytes} bytes, not ${bytes.length}`)
  const frame = new Uint8Array(bytes.length + 1)
  frame[0] = EXEC_STREAMS.indexOf(stream)
  frame.set(bytes, 1)
  return frame
}

/** What a binary frame carries, as a view on it; undefined for one that is not of this form. */
export function unpackExecData(frame: Uint8Array<ArrayBuffer>): ExecData | undefined {
  const stream = EXEC_STREAMS[frame[0] ?? -1]
  if (stream === undefined || frame.length < 2 || frame.length > EXEC_LIMITS.dataBytes + 1) return undefined
  return { stream, bytes: frame.subarray(1) }
}

/** The flow of one stream: what is sent uses it up, what the receiver takes gives it back. Both ends and the Hub between them count the same. */
export class ExecWindow {
  #free: number = EXEC_LIMITS.windowBytes
  #waiting: (() => void)[] = []
  #isClosed = false

  get free(): number {
    return this.#free
  }

  /** False when that is more than is granted; then nothing is used up. */
  spend(bytes: number): boolean {
    if (bytes > this.#free) return false
    this.#free -= bytes
    return true
  }

  /** False when more comes back than was sent; then nothing is granted. */
  grant(bytes: number): boolean {
    if (this.#free + bytes > EXEC_LIMITS.windowBytes) return false
    this.#free += bytes
    this.#wake()
    return true
  }

  /** Resolves when something may be sent, or when the window is closed. */
  async untilFree(): Promise<void> {
    while (this.#free === 0 && !this.#isClosed) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Lets everyone go who waits: nothing will be granted any more. */
  close(): void {
    this.#isClosed = true
    this.#wake()
  }

  #wake(): void {
    for (const goOn of this.#waiting.splice(0)) goOn()
  }
}
