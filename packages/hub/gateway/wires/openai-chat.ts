/** The wire of OpenAI Chat Completions, which most other vendors and tools speak too. */
import { fieldsAt } from '@autovibe/core/budgets/json-values.ts'
import { asksForUsage, chatLimitKey, readChatRequest, usageOfCompletion } from '@autovibe/core/budgets/openai-chat.ts'
import { openaiPrices } from '../prices/table.ts'
import { factsOf } from './facts.ts'
import { bearer, callFacts, fieldsOf, openaiError, rewritten } from './openai.ts'
import { ChatTap } from './openai-chat-tap.ts'
import type { Wire } from './wire.ts'

export const openaiChat: Wire = {
  name: 'openai-chat',
  upstreamPath: '/v1/chat/completions',
  prices: openaiPrices,

  readFacts(body, bodyBytes) {
    const facts = factsOf(readChatRequest(body.value, bodyBytes))
    return callFacts(facts, facts.stream && !asksForUsage(fieldsOf(body)))
  },

  outgoing(body, raw, facts, grantedTokens) {
    const fields = fieldsOf(body)
    const more = new Map<string, string>()
    // A stream tells its usage only when it is asked to.
    if (facts.hidesUsage) more.set('stream_options', JSON.stringify({ ...fieldsAt(fields, 'stream_options'), include_usage: true }))
    return rewritten(body, raw, facts, { key: chatLimitKey(fields), grantedTokens }, more)
  },

  keyHeaders: bearer,
  usageOfAnswer: usageOfCompletion,
  tapStream: (facts) => new ChatTap(facts.hidesUsage),
  errorBody: openaiError,
  errorEvent: (error) => `data: ${JSON.stringify(openaiError(error, 502))}\n\n`,
}
