/** What differs between the vendors' wires; everything else of a call is the same for all of them. Pure: a wire does no I/O. */
import type { AutovibeError } from '@autovibe/contract'
import type { RequestSize } from '@autovibe/core/budgets/bound.ts'
import type { PriceTable } from '@autovibe/core/budgets/prices.ts'
import type { UsageSoFar } from '@autovibe/core/budgets/usage.ts'
import type { JsonBody } from '../request-body.ts'

/** What the money of a request depends on; read once, before anything is held. */
export interface CallFacts {
  readonly model: string
  /** What the client asked for; null when it named no limit, which leaves the model's own. */
  readonly maxTokens: bigint | null
  /** Answers that are made side by side, each of up to `max_tokens` (`n`); 1 where the wire has no such thing. */
  readonly choices: bigint
  /** A part of `max_tokens` that is spent on thinking and must stay below it; null when there is none. */
  readonly thinkingTokens: bigint | null
  readonly stream: boolean
  /** The client did not ask for usage in its stream; what the gateway asks for is taken out again. */
  readonly hidesUsage: boolean
  readonly size: RequestSize
}

/** Listens to a streamed answer that passes by. */
export interface StreamTap {
  /** Takes the next piece and returns what of it the client may see, which is the piece itself unless the gateway had asked for more than the client did. */
  push(chunk: Uint8Array): Uint8Array
  /** The stream is over; returns what was held back. */
  end(): Uint8Array
  readonly usage: UsageSoFar
  /** The stream has told its end, well or not. */
  readonly ended: boolean
  /** The provider refused inside the stream, before it began: as good as a refusal by status. */
  readonly refusedBeforeStart: boolean
}

export interface Wire {
  readonly name: 'anthropic-messages' | 'openai-chat' | 'openai-responses'
  /** The path below the provider's base URL. */
  readonly upstreamPath: string
  readonly prices: PriceTable
  /** `request.invalid` or `model.unbounded` when the call may not be made. */
  readFacts(body: JsonBody, bodyBytes: number): CallFacts
  /** The body as it goes out: byte for byte as it came, but for what must change (a granted `max_tokens`; usage in streams). */
  outgoing(body: JsonBody, raw: Uint8Array, facts: CallFacts, grantedTokens: bigint): Uint8Array | string
  /** How the provider is asked, free of charge, for the tokens of the input; absent where it cannot be, null when its count would not be the whole. */
  countRequest?(body: JsonBody): { readonly path: string; readonly body: string } | null
  /** Headers that carry the provider's key. */
  keyHeaders(key: string): Record<string, string>
  /** The figures of a whole answer; `none` when it has none. */
  usageOfAnswer(answer: unknown): UsageSoFar
  tapStream(facts: CallFacts): StreamTap
  /** The error in the wire's own form, for a status answer. */
  errorBody(error: AutovibeError, status: number): object
  /** The piece of a stream that says that it cannot go on. */
  errorEvent(error: AutovibeError): string
}
