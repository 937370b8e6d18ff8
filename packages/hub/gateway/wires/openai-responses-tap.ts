/** Listens to a stream of Responses; its usage stands in the last event, so nothing but that is parsed. */
import { fieldsAt, isFields } from '@autovibe/core/budgets/json-values.ts'
import { isLastEvent, usageAfterResponseEvent } from '@autovibe/core/budgets/openai-responses.ts'
import { NO_USAGE, type UsageSoFar } from '@autovibe/core/budgets/usage.ts'
import { EventLines, isData, jsonOf } from './event-lines.ts'
import { isUnbilled } from './openai.ts'
import type { StreamTap } from './wire.ts'

/** Where the vendor writes the type of an event: first. */
const TYPE_FIRST = /^data:\s*\{\s*"type"\s*:\s*"([\w.]{1,100})"/
/** Events that come before the model begins. */
const BEFORE_START = new Set(['response.created', 'response.queued', 'response.in_progress'])
const NOTHING = new Uint8Array(0)

export class ResponsesTap implements StreamTap {
  readonly #lines = new EventLines({ line: (line) => this.#line(line), piece: () => this.#begin() })
  #usage: UsageSoFar = NO_USAGE
  #begun = false
  #ended = false
  #refused = false

  get usage(): UsageSoFar {
    return this.#usage
  }

  get ended(): boolean {
    return this.#ended
  }

  get refusedBeforeStart(): boolean {
    return this.#refused
  }

  push(chunk: Uint8Array): Uint8Array {
    this.#lines.push(chunk)
    return chunk
  }

  end(): Uint8Array {
    this.#lines.end()
    return NOTHING
  }

  #begin(): void {
    this.#begun = true
  }

  #line(line: string): void {
    if (!isData(line)) return
    const type = TYPE_FIRST.exec(line)?.[1]
    // An event that does not begin with its type has to be read to know it.
    if (type === undefined || type === 'error' || isLastEvent(type)) this.#event(jsonOf(line))
    else if (!BEFORE_START.has(type)) this.#begin()
  }

  #event(event: unknown): void {
    if (!isFields(event) || typeof event['type'] !== 'string') return
    const type = event['type']
    if (type === 'error' || isLastEvent(type)) {
      this.#ended = true
      this.#usage = usageAfterResponseEvent(this.#usage, event)
      const detail = type === 'error' ? { ...event, ...fieldsAt(event, 'error') } : fieldsAt(fieldsAt(event, 'response'), 'error')
      this.#refused = !this.#begun && this.#usage.completeness === 'none' && isUnbilled(detail)
    } else if (!BEFORE_START.has(type)) this.#begin()
  }
}
