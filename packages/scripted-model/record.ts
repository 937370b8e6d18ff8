/** What the server remembers of the calls it answered, within bounds. */
import type { IncomingHttpHeaders } from 'node:http'
import { isObject } from './wire/blocks.ts'
import type { MessageUsage } from './wire/usage.ts'

const CALLS_MAX = 1000
const BODY_BYTES_MAX = 256 * 1024
const SECRET_HEADERS = ['x-api-key', 'authorization', 'proxy-authorization', 'cookie']

/** `open` until the last byte is sent; `cut` by the script; `abandoned` by the client; `error` for a refusal of any kind. */
export type CallOutcome = 'open' | 'answered' | 'error' | 'cut' | 'abandoned'

export interface RecordedCall {
  /** Counts all calls of this server from 0, forgotten ones too. */
  readonly number: number
  readonly method: string
  /** With its query. */
  readonly path: string
  /** Without the key. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** The request as it came; of a body over 256 KiB only its sizes; null when it is no JSON. */
  readonly body: unknown
  readonly body_bytes: number
  readonly outcome: CallOutcome
  /** HTTP status of the answer; 0 as long as there is none. */
  readonly status: number
  /** Index of the conversation and of its reply; null for `otherwise` and for refusals before the script. */
  readonly conversation: number | null
  readonly reply: number | null
  /** The figures of the whole answer, null where nothing is billed. */
  readonly usage: MessageUsage | null
}

/** A call that is still being answered. */
export type OpenCall = { -readonly [K in keyof RecordedCall]: RecordedCall[K] }

export class CallLog {
  readonly #calls: OpenCall[] = []
  #count = 0

  open(method: string, path: string, headers: IncomingHttpHeaders, text: Buffer, body: unknown): OpenCall {
    const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => !SECRET_HEADERS.includes(name)))
    const call: OpenCall = {
      number: this.#count++,
      method,
      path,
      headers: kept,
      body: text.length > BODY_BYTES_MAX ? summary(body) : body,
      body_bytes: text.length,
      outcome: 'open',
      status: 0,
      conversation: null,
      reply: null,
      usage: null,
    }
    this.#calls.push(call)
    if (this.#calls.length > CALLS_MAX) this.#calls.shift()
    return call
  }

  /** The newest 1,000 calls, oldest first. */
  all(): readonly RecordedCall[] {
    return [...this.#calls]
  }
}

function summary(body: unknown): unknown {
  if (!isObject(body)) return { summarised: true }
  const { model, max_tokens, stream, messages, tools } = body
  const length = (value: unknown): number => (Array.isArray(value) ? value.length : 0)
  return { summarised: true, model, max_tokens, stream, messages: length(messages), tools: length(tools) }
}
