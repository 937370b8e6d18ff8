/** One `POST /v1/messages/count_tokens`: free of charge, so nothing is held, but no way around the walls either. */
import { AutovibeError } from '@autovibe/contract'
import { readRequest } from '@autovibe/core/budgets/anthropic-request.ts'
import type { Call, CallTools } from './call.ts'
import { type Ending, Exchange } from './exchange.ts'
import { parseBody, readBody } from './request-body.ts'
import { responseHeaders } from './upstream.ts'
import { factsOf } from './wires/facts.ts'

/** Passes the question and its answer through; refuses what could make the provider fetch something for the machine. */
export async function countTokens(tools: CallTools, call: Call): Promise<void> {
  const body = await readBody(call.req)
  const { model } = factsOf(readRequest(parseBody(body).value, body.length, false))
  const { caller, client, res } = call
  caller.settings.assertAllowed(model)
  const down = tools.health.refusal(caller)
  if (down) throw down
  const ending = await ask(tools, call, body)
  if (client.gone) return
  if (ending.kind !== 'message' && ending.kind !== 'refusal')
    throw new AutovibeError('provider.unavailable', `The provider ${caller.provider} did not count the tokens.`, { cause: ending.error })
  res.writeHead(ending.status, { ...responseHeaders(ending.headers), 'content-length': ending.body.length })
  res.end(ending.body)
}

function ask(tools: CallTools, { wire, caller, client, req, res, search }: Call, body: Buffer): Promise<Ending> {
  return new Promise((resolve) => {
    const stop = () => exchange.abort(new Error('nobody waits for it'))
    const exchange = new Exchange({
      client,
      res,
      ownHeaders: {},
      tap: null,
      onFirstByte: () => undefined,
      onEnd(ending) {
        client.leaves.removeEventListener('abort', stop)
        tools.closing.removeEventListener('abort', stop)
        resolve(ending)
      },
    })
    client.leaves.addEventListener('abort', stop)
    tools.closing.addEventListener('abort', stop)
    const { target } = caller
    const path = `/v1/messages/count_tokens${search}`
    tools.upstream.dispatch({ target, path, headers: req.headers, keyHeaders: wire.keyHeaders(target.key), body }, exchange)
  })
}
