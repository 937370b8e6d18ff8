/** Says no in the Anthropic wire's own error form, so that an agent shows the reason and stops instead of trying again. */
import type { ServerResponse } from 'node:http'
import type { AutovibeError, ErrorCode } from '@autovibe/contract'

interface WireForm {
  readonly status: number
  readonly type: string
}

/** What each of our codes is on the wire. 402 makes agents stop at once and show the message; 401 would be tried again for a minute. */
const WIRE_FORMS: Partial<Record<ErrorCode, WireForm>> = {
  'request.invalid': { status: 400, type: 'invalid_request_error' },
  'request.too_large': { status: 413, type: 'request_too_large' },
  'request.rate_limited': { status: 429, type: 'rate_limit_error' },
  'auth.missing': { status: 401, type: 'authentication_error' },
  'auth.forbidden': { status: 403, type: 'permission_error' },
  not_found: { status: 404, type: 'not_found_error' },
  'conflict.state': { status: 403, type: 'permission_error' },
  'budget.exhausted': { status: 402, type: 'billing_error' },
  'budget.insufficient': { status: 402, type: 'billing_error' },
  'model.unpriced': { status: 402, type: 'billing_error' },
  'model.unbounded': { status: 400, type: 'invalid_request_error' },
  'provider.unknown': { status: 403, type: 'permission_error' },
  'provider.key_missing': { status: 403, type: 'permission_error' },
  'provider.unavailable': { status: 502, type: 'api_error' },
}
const INTERNAL: WireForm = { status: 500, type: 'api_error' }

const RETRY_AFTER_SECONDS = 1

/** Ends the answer with the error; does nothing when an answer is under way or nobody is there to read it. */
export function sendRefusal(res: ServerResponse, error: AutovibeError): void {
  if (res.headersSent || res.destroyed) return
  const form = WIRE_FORMS[error.code] ?? INTERNAL
  const body = Buffer.from(JSON.stringify(wireError(form.type, error)))
  res.setHeader('content-type', 'application/json')
  res.setHeader('content-length', body.length)
  // An unread rest of the request would otherwise be taken for the next one.
  if (!res.req.complete) res.setHeader('connection', 'close')
  if (error.retryable) res.setHeader('retry-after', RETRY_AFTER_SECONDS)
  // A fault of ours may be gone in a moment; a refusal will not be.
  else if (form.status < 500) res.setHeader('x-should-retry', 'false')
  res.writeHead(form.status)
  res.end(body)
}

/** The event that ends a stream which cannot go on. */
export function errorEvent(error: AutovibeError): string {
  return `event: error\ndata: ${JSON.stringify(wireError((WIRE_FORMS[error.code] ?? INTERNAL).type, error))}\n\n`
}

function wireError(type: string, error: AutovibeError) {
  const autovibe = { code: error.code, ...(error.fix === undefined ? {} : { fix: error.fix }) }
  const message = error.fix === undefined ? error.message : `${error.message} ${error.fix}`
  return { type: 'error', error: { type, message: `autovibe: ${message}`, autovibe } }
}
