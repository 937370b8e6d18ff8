/** The wire of OpenAI Responses, in the form that keeps no state at the vendor's. */
import { readResponsesRequest, usageOfResponse } from '@autovibe/core/budgets/openai-responses.ts'
import { openaiPrices } from '../prices/table.ts'
import { factsOf } from './facts.ts'
import { bearer, callFacts, openaiError, rewritten } from './openai.ts'
import { ResponsesTap } from './openai-responses-tap.ts'
import type { Wire } from './wire.ts'

export const openaiResponses: Wire = {
  name: 'openai-responses',
  upstreamPath: '/v1/responses',
  prices: openaiPrices,
  readFacts: (body, bodyBytes) => callFacts(factsOf(readResponsesRequest(body.value, bodyBytes)), false),
  outgoing: (body, raw, facts, grantedTokens) => rewritten(body, raw, facts, { key: 'max_output_tokens', grantedTokens }),
  keyHeaders: bearer,
  usageOfAnswer: usageOfResponse,
  tapStream: () => new ResponsesTap(),
  errorBody: openaiError,
  // The clients of this wire read the flat form, its SDK the nested one.
  errorEvent(error) {
    const nested = openaiError(error, 502)
    const { message, code, param } = nested.error
    return `event: error\ndata: ${JSON.stringify({ type: 'error', code, message, param, ...nested })}\n\n`
  },
}
