/** The wire of Anthropic Messages. */
import { readRequest } from '@autovibe/core/budgets/anthropic-request.ts'
import { fieldsToCount } from '@autovibe/core/budgets/counted-input.ts'
import { pickTopLevel, setTopLevel } from '@autovibe/core/budgets/json-text.ts'
import { usageOfMessage } from '@autovibe/core/budgets/usage.ts'
import { anthropicPrices } from '../prices/table.ts'
import { SseTap } from '../sse-tap.ts'
import { wordsOf } from './error-words.ts'
import { factsOf } from './facts.ts'
import type { StreamTap, Wire } from './wire.ts'

/** The vendor's own types by status. 402 makes agents stop at once and show the message; 401 would be tried again for a minute. */
const TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
}
const NOTHING = new Uint8Array(0)

export const anthropicMessages: Wire = {
  name: 'anthropic-messages',
  upstreamPath: '/v1/messages',
  prices: anthropicPrices,
  readFacts: (body, bodyBytes) => ({ ...factsOf(readRequest(body.value, bodyBytes)), choices: 1n, hidesUsage: false }),

  outgoing(body, raw, facts, grantedTokens) {
    if (facts.maxTokens === grantedTokens) return raw
    return setTopLevel(body.text, body.scan, new Map([['max_tokens', grantedTokens.toString()]]))
  },

  countRequest(body) {
    const fields = fieldsToCount(body.scan.topLevel.keys())
    return fields && { path: '/v1/messages/count_tokens', body: pickTopLevel(body.text, body.scan, fields) }
  },

  keyHeaders: (key) => ({ 'x-api-key': key }),
  usageOfAnswer: usageOfMessage,
  tapStream: () => passing(new SseTap()),
  errorBody: (error, status) => ({ type: 'error', error: { type: TYPES[status] ?? 'api_error', ...wordsOf(error) } }),
  errorEvent: (error) => `event: error\ndata: ${JSON.stringify({ type: 'error', error: { type: 'api_error', ...wordsOf(error) } })}\n\n`,
}

/** This wire tells its usage unasked, so the client sees every byte as it came. */
function passing(tap: SseTap): StreamTap {
  return {
    push(chunk) {
      tap.push(chunk)
      return chunk
    },
    end() {
      tap.end()
      return NOTHING
    },
    get usage() {
      return tap.usage
    },
    get ended() {
      return tap.ended
    },
    get refusedBeforeStart() {
      return tap.refusedBeforeStart
    },
  }
}
