/** One request and its answer on the wire to a provider: a stream goes on to the client piece by piece as fast as it reads, everything else is collected. */
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Dispatcher } from 'undici'
import type { Client } from './client.ts'
import { LIMITS } from './limits.ts'
import { responseHeaders } from './upstream.ts'
import { WholeEvents } from './whole-events.ts'
import type { StreamTap } from './wires/wire.ts'

/** How it came out. */
export type Ending =
  /** The provider said no, or sent its caller elsewhere. */
  | { readonly kind: 'refusal'; readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Buffer }
  | { readonly kind: 'message'; readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Buffer }
  /** `error`: what cut it off, if anything did. */
  | { readonly kind: 'stream'; readonly tap: StreamTap; readonly error: Error | null }
  /** There is no answer, or no whole one. */
  | { readonly kind: 'failure'; readonly error: Error }

export interface ExchangeOptions {
  readonly client: Client
  readonly res: ServerResponse
  readonly ownHeaders: OutgoingHttpHeaders
  /** Listens to a stream; null when even a stream is collected whole. */
  readonly tap: (() => StreamTap) | null
  readonly onFirstByte: () => void
  readonly onEnd: (ending: Ending) => void
}

type Controller = Dispatcher.DispatchController

export class Exchange implements Dispatcher.DispatchHandler {
  readonly #options: ExchangeOptions
  #controller: Controller | null = null
  #abortedFor: Error | null = null
  #kind: 'refusal' | 'message' | 'stream' | null = null
  #tap: StreamTap | null = null
  readonly #events = new WholeEvents()
  #status = 0
  #headers: IncomingHttpHeaders = {}
  #chunks: Buffer[] = []
  #size = 0
  #ended = false

  constructor(options: ExchangeOptions) {
    this.#options = options
  }

  /** Breaks it off; it then ends with this error. */
  abort(error: Error): void {
    this.#abortedFor ??= error
    this.#controller?.abort(this.#abortedFor)
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#abortedFor) controller.abort(this.#abortedFor)
  }

  onResponseStart(_: Controller, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return
    this.#status = status
    this.#headers = headers
    if (status > 299) this.#kind = 'refusal'
    else if (this.#options.tap === null || !String(headers['content-type'] ?? '').includes('text/event-stream')) this.#kind = 'message'
    else {
      this.#kind = 'stream'
      this.#tap = this.#options.tap()
      if (this.#options.client.gone) return
      this.#options.res.writeHead(status, { ...responseHeaders(headers), ...this.#options.ownHeaders })
      this.#options.res.flushHeaders()
    }
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#kind !== 'refusal') this.#options.onFirstByte()
    if (this.#tap) this.#pass(controller, this.#events.push(this.#tap.push(chunk)))
    else this.#collect(chunk)
  }

  onResponseEnd(): void {
    const { status, headers, body } = { status: this.#status, headers: this.#headers, body: Buffer.concat(this.#chunks, this.#size) }
    if (this.#tap) this.#endStream(this.#tap, null)
    else if (this.#kind === 'refusal' || this.#kind === 'message') this.#end({ kind: this.#kind, status, headers, body })
    else this.#end({ kind: 'failure', error: new Error('no answer') })
  }

  onResponseError(_: Controller, error: Error): void {
    if (this.#tap) this.#endStream(this.#tap, error)
    else this.#end({ kind: 'failure', error })
  }

  #pass(controller: Controller, piece: Uint8Array): void {
    const { client } = this.#options
    if (client.send(piece)) return
    controller.pause()
    client.whenReady(() => controller.resume())
  }

  #collect(chunk: Buffer): void {
    this.#size += chunk.length
    const mostBytes = this.#kind === 'message' ? LIMITS.answerBytes : LIMITS.errorBytes
    if (this.#size > mostBytes) this.abort(new Error(`the answer is larger than ${mostBytes} bytes`))
    else this.#chunks.push(chunk)
  }

  #endStream(tap: StreamTap, error: Error | null): void {
    const { client } = this.#options
    client.send(this.#events.push(tap.end()))
    // Half an event of a stream that was cut off would hide from the client that it was.
    if (tap.ended) client.send(this.#events.rest())
    this.#end({ kind: 'stream', tap, error })
  }

  #end(ending: Ending): void {
    if (this.#ended) return
    this.#ended = true
    this.#options.onEnd(ending)
  }
}
