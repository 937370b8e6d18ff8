/** Says no in the wire's own error form, so that an agent shows the reason and stops instead of trying again. */
import type { ServerResponse } from 'node:http'
import type { AutovibeError, ErrorCode } from '@autovibe/contract'
import { UpstreamDown } from './upstream-health.ts'
import type { Wire } from './wires/wire.ts'

/** What each of our codes is on a wire. 402 makes agents stop at once and show the message; 401 would be tried again for a minute. */
const STATUSES: Partial<Record<ErrorCode, number>> = {
  'request.invalid': 400,
  'request.too_large': 413,
  'request.rate_limited': 429,
  'auth.missing': 401,
  'auth.forbidden': 403,
  not_found: 404,
  'conflict.state': 403,
  'budget.exhausted': 402,
  'budget.insufficient': 402,
  'model.unpriced': 404,
  'model.unbounded': 400,
  'model.not_allowed': 403,
  'provider.unknown': 403,
  'provider.key_missing': 403,
  'hub.master_key': 403,
  'provider.unavailable': 502,
  'provider.down': 503,
}
const INTERNAL = 500

const RETRY_AFTER_SECONDS = 1

/** Ends the answer with the error; does nothing when an answer is under way or nobody is there to read it. */
export function sendRefusal(wire: Wire, res: ServerResponse, error: AutovibeError): void {
  if (res.headersSent || res.destroyed) return
  const status = STATUSES[error.code] ?? INTERNAL
  const body = Buffer.from(JSON.stringify(wire.errorBody(error, status)))
  res.setHeader('content-type', 'application/json')
  res.setHeader('content-length', body.length)
  // An unread rest of the request would otherwise be taken for the next one.
  if (!res.req.complete) res.setHeader('connection', 'close')
  if (error instanceof UpstreamDown) res.setHeader('retry-after', Math.ceil(error.retryAfterMs / 1000))
  else if (error.retryable) res.setHeader('retry-after', RETRY_AFTER_SECONDS)
  // A fault of ours may be gone in a moment; a refusal will not be.
  else if (status < 500) res.setHeader('x-should-retry', 'false')
  res.writeHead(status)
  res.end(body)
}
