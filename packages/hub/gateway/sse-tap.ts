/** Listens to an event stream that passes by: keeps the figures, forgets the text, holds at most one line. */
import { NO_USAGE, type UsageSoFar, usageAfterEvent } from '@autovibe/core/budgets/usage.ts'
import { LIMITS } from './limits.ts'

/** Only these events say what a call costs, or that it ended; the rest is not even parsed. */
const OF_INTEREST = /"(?:message_start|message_delta|message_stop|error)"/

/** Errors that a provider sends instead of doing any work. */
const UNBILLED_ERRORS = new Set([
  'overloaded_error',
  'rate_limit_error',
  'authentication_error',
  'permission_error',
  'invalid_request_error',
  'not_found_error',
  'request_too_large',
])

export class SseTap {
  readonly #decoder = new TextDecoder()
  #partial = ''
  #skipping = false
  #usage: UsageSoFar = NO_USAGE
  #stopped = false
  #errorType: string | null = null

  get usage(): UsageSoFar {
    return this.#usage
  }

  /** The stream has told its end, well or not. */
  get ended(): boolean {
    return this.#stopped || this.#errorType !== null
  }

  /** The provider refused inside the stream, before it began: as good as a refusal by status. */
  get refusedBeforeStart(): boolean {
    return this.#usage.completeness === 'none' && this.#errorType !== null && UNBILLED_ERRORS.has(this.#errorType)
  }

  push(chunk: Uint8Array): void {
    const lines = (this.#partial + this.#decoder.decode(chunk, { stream: true })).split('\n')
    this.#partial = lines.pop() ?? ''
    for (const line of lines) {
      // The first line break ends a line that was too long to keep.
      if (this.#skipping) this.#skipping = false
      else this.#line(line)
    }
    if (this.#partial.length > LIMITS.eventLineBytes) {
      this.#partial = ''
      this.#skipping = true
    } else if (this.#skipping) this.#partial = ''
  }

  /** The stream is over; a last line without a line break counts too. */
  end(): void {
    if (!this.#skipping) this.#line(this.#partial)
    this.#partial = ''
  }

  #line(line: string): void {
    if (!line.startsWith('data:') || !OF_INTEREST.test(line)) return
    let event: unknown
    try {
      event = JSON.parse(line.slice('data:'.length))
    } catch {
      // Not an event of this wire: it cannot carry figures, and without figures the call is settled at its bound.
      return
    }
    this.#usage = usageAfterEvent(this.#usage, event)
    if (typeof event !== 'object' || event === null || !('type' in event)) return
    if (event.type === 'message_stop') this.#stopped = true
    if (event.type === 'error') {
      const detail = 'error' in event ? event.error : null
      this.#errorType = typeof detail === 'object' && detail !== null && 'type' in detail && typeof detail.type === 'string' ? detail.type : 'api_error'
    }
  }
}
