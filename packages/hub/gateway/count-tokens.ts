/** One `POST /v1/messages/count_tokens`: free of charge, so nothing is held, but no way around the walls either. */
import { AutovibeError } from '@autovibe/contract'
import { readRequest } from '@autovibe/core/budgets/anthropic-request.ts'
import type { Call, CallTools } from './call.ts'
import { LIMITS } from './limits.ts'
import { factsOf } from './messages.ts'
import { parseBody, readBody } from './request-body.ts'
import { responseHeaders } from './upstream.ts'

/** Passes the question and its answer through; refuses what could make the provider fetch something for the machine. */
export async function countTokens(tools: CallTools, call: Call): Promise<void> {
  const body = await readBody(call.req)
  factsOf(readRequest(parseBody(body).value, body.length, false))
  const { caller, client, req, res } = call
  const signal = AbortSignal.any([client.leaves, tools.closing])
  try {
    const answer = await tools.upstream.send({ target: caller.target, path: `/v1/messages/count_tokens${call.search}`, headers: req.headers, body, signal })
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      size += chunk.length
      if (size > LIMITS.errorBytes) throw new Error('the answer is too large')
      chunks.push(chunk)
    }
    if (client.gone) return
    res.writeHead(answer.statusCode, { ...responseHeaders(answer.headers), 'content-length': size })
    res.end(Buffer.concat(chunks, size))
  } catch (cause) {
    if (client.gone) return
    throw new AutovibeError('provider.unavailable', `The provider ${caller.provider} did not count the tokens.`, { cause })
  }
}
