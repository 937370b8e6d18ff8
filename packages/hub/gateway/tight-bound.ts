/** Near the limit: the provider's own count of a call's input, which is a far tighter bound than its bytes. Free of charge, and never needed: without it the bytes stand. */
import { boundOfCount } from '@autovibe/core/budgets/counted-input.ts'
import type { Call, CallTools } from './call.ts'
import { LIMITS } from './limits.ts'
import type { JsonBody } from './request-body.ts'

/** The bound by the provider's count, with its margin and never above the known one; null when the wire has no count or none came in time. */
export async function countedBound(tools: CallTools, call: Call, body: JsonBody, knownBound: bigint): Promise<bigint | null> {
  const { caller, client, req, wire } = call
  const counted = wire.countRequest?.(body) ?? null
  if (counted === null) return null
  try {
    const answer = await tools.upstream.ask(
      {
        target: caller.target,
        path: `${counted.path}${call.search}`,
        headers: req.headers,
        keyHeaders: wire.keyHeaders(caller.target.key),
        body: counted.body,
      },
      { signal: AbortSignal.any([client.leaves, tools.closing, AbortSignal.timeout(LIMITS.countMs)]), mostBytes: LIMITS.countBytes },
    )
    return boundOfCount(JSON.parse(answer), knownBound)
  } catch (error) {
    // The error's text may hold the answer's; its name does not.
    tools.logger.debug(
      { cause: error instanceof Error ? error.name : 'unknown', provider: caller.provider },
      'the provider did not count a call; its bytes bound it',
    )
    return null
  }
}
