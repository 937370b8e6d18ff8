/** Calls the model through the Hub's gateway, and says in our words what came of it. */
import Anthropic, { APIConnectionError, APIError, APIUserAbortError } from '@anthropic-ai/sdk'
import { Agent, fetch as fetchOver } from 'undici'
import { backoffMs, pause } from '../../door/backoff.ts'
import { log } from '../../log.ts'

export type CallResult =
  | { readonly kind: 'message'; readonly message: Anthropic.Message }
  /** The gateway refused for money; the same call may be made again once there is more. */
  | { readonly kind: 'money'; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: string }

export interface Model {
  /** Ends with an answer or a refusal. Rejects with the signal's reason. `isFirst`: the run has had no answer yet. */
  call(request: Anthropic.MessageStreamParams, isFirst: boolean, signal: AbortSignal): Promise<CallResult>
  close(): Promise<void>
}

/** About a quarter of an hour of overload, because nobody is there to start the run again; a Hub that is away is waited for without end. */
const PROVIDER_TRIES = 40
/**
 * How often the Hub may say that the provider is down, which it has found out by several calls: before the first answer nothing is lost, and whoever started the run
 * is there to read why it ended; later the run waits as for overload.
 */
const DOWN_TRIES = { first: 3, later: PROVIDER_TRIES } as const
const BACKOFF = { firstMs: 500, mostMs: 30_000 }
/** No byte for so long, pings included, and the stream counts as dead. */
const SILENCE_MS = 300_000

export function modelOver(socketPath: string, token: string): Model {
  const dispatcher = new Agent({ connect: { socketPath }, headersTimeout: 600_000, bodyTimeout: SILENCE_MS })
  const client = new Anthropic({
    baseURL: 'http://hub/gateway',
    apiKey: token,
    // Retries are counted here, where money and a lost Hub are told apart.
    maxRetries: 0,
    timeout: 600_000,
    logLevel: 'off',
    // The types of undici's own fetch and of the global one differ in name only.
    fetch: ((url: string, init: Parameters<typeof fetchOver>[1]) => fetchOver(url, { ...init, dispatcher })) as unknown as typeof fetch,
  })
  return { call: (request, isFirst, signal) => callUntilAnswered(client, request, isFirst, signal), close: () => dispatcher.destroy() }
}

async function callUntilAnswered(client: Anthropic, request: Anthropic.MessageStreamParams, isFirst: boolean, signal: AbortSignal): Promise<CallResult> {
  let providerFailures = 0
  let downs = 0
  for (let attempt = 0; ; attempt++) {
    try {
      const stream = client.messages.stream(request, { signal })
      return { kind: 'message', message: await stream.finalMessage() }
    } catch (error) {
      signal.throwIfAborted()
      const verdict = judge(error)
      if (verdict.kind !== 'again') return verdict
      if (verdict.isProvider && ++providerFailures >= PROVIDER_TRIES) return { kind: 'refused', reason: verdict.reason }
      if (verdict.isDown && ++downs >= (isFirst ? DOWN_TRIES.first : DOWN_TRIES.later)) return { kind: 'refused', reason: verdict.reason }
      log('a model call is made again', { attempt: attempt + 1, reason: verdict.reason })
      await pause(verdict.afterMs ?? backoffMs(BACKOFF, attempt, Math.random()), signal)
    }
  }
}

type Verdict =
  | Exclude<CallResult, { kind: 'message' }>
  | {
      readonly kind: 'again'
      readonly reason: string
      readonly isProvider: boolean
      /** The Hub lets nobody through to the provider. */
      readonly isDown?: boolean
      readonly afterMs: number | undefined
    }

/** What a failed call means. */
export function judge(error: unknown): Verdict {
  if (error instanceof APIUserAbortError) return { kind: 'refused', reason: 'The call was ended.' }
  if (error instanceof APIConnectionError) return { kind: 'again', reason: error.message, isProvider: false, afterMs: undefined }
  if (!(error instanceof APIError))
    return { kind: 'again', reason: error instanceof Error ? error.message : String(error), isProvider: true, afterMs: undefined }
  const reason = sentenceOf(error)
  const status: number | undefined = error.status
  if (status === 402 || isBilling(error)) return { kind: 'money', reason }
  if (status === 429 && error.headers?.get('x-should-retry') === 'false') return { kind: 'money', reason }
  if (codeOf(error) === 'provider.down') return { kind: 'again', reason, isProvider: true, isDown: true, afterMs: retryAfterMs(error) }
  // Without a status it came inside a stream that had begun.
  if (status === undefined || status === 408 || status === 409 || status === 429 || status >= 500)
    return { kind: 'again', reason, isProvider: true, afterMs: retryAfterMs(error) }
  return { kind: 'refused', reason }
}

function isBilling(error: APIError): boolean {
  return error.type === 'billing_error'
}

/** The provider's own sentence, without the JSON around it. */
function sentenceOf(error: APIError): string {
  const message = wordsOf(error)['message']
  if (message === undefined) return error.message
  return `${error.status === undefined ? '' : `${error.status} `}${String(message)}`
}

/** The Hub's own code, where the refusal is the Hub's. */
function codeOf(error: APIError): unknown {
  return fieldsOf(wordsOf(error)['autovibe'])['code']
}

const wordsOf = (error: APIError): Record<string, unknown> => fieldsOf(fieldsOf(error.error)['error'])

const fieldsOf = (value: unknown): Record<string, unknown> => (typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {})

function retryAfterMs(error: APIError): number | undefined {
  const seconds = Number(error.headers?.get('retry-after') ?? Number.NaN)
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds * 1000, 60_000) : undefined
}
