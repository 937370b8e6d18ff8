/** The reader of an answer: takes it as fast as it reads, and knows when it has gone. */
import type { ServerResponse } from 'node:http'
import { LIMITS } from './limits.ts'

export class Client {
  readonly #res: ServerResponse
  readonly #gone = new AbortController()

  constructor(res: ServerResponse) {
    this.#res = res
    res.once('close', () => {
      if (!res.writableFinished) this.#gone.abort()
    })
    // The close that follows says it all.
    res.on('error', () => undefined)
    if (res.destroyed) this.#gone.abort()
  }

  get gone(): boolean {
    return this.#gone.signal.aborted
  }

  /** Aborted when the client leaves before its answer is complete. */
  get leaves(): AbortSignal {
    return this.#gone.signal
  }

  /** Passes a piece on; false when nothing more should come before `whenReady` calls. What comes for a client that has gone is dropped. */
  send(piece: Uint8Array | string): boolean {
    return this.gone || piece.length === 0 || this.#res.write(piece)
  }

  /** Calls once when the next piece may follow, or when the client has gone. A client that reads nothing for too long is sent away. */
  whenReady(then: () => void): void {
    const done = () => {
      clearTimeout(timer)
      this.#res.off('drain', done)
      this.leaves.removeEventListener('abort', done)
      then()
    }
    const timer = setTimeout(() => this.#res.destroy(), LIMITS.idleMs)
    this.#res.once('drain', done)
    this.leaves.addEventListener('abort', done)
    if (this.gone) done()
  }
}
