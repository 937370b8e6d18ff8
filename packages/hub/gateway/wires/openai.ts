/** What both OpenAI wires share: the key, the errors, and what every request is sent with. */
import type { AutovibeError } from '@autovibe/contract'
import { setTopLevel } from '@autovibe/core/budgets/json-text.ts'
import { type Fields, isAbsent, isFields } from '@autovibe/core/budgets/json-values.ts'
import { leavesTierOpen, type OpenAiFacts, ownLimit } from '@autovibe/core/budgets/openai-request.ts'
import type { JsonBody } from '../request-body.ts'
import { wordsOf } from './error-words.ts'
import type { CallFacts } from './wire.ts'

export const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` })

export const fieldsOf = (body: JsonBody): Fields => (isFields(body.value) ? body.value : {})

/** The facts of a call; a request without a limit asks for all that its model makes. */
export const callFacts = (facts: OpenAiFacts, hidesUsage: boolean): CallFacts => ({
  ...facts,
  maxTokens: facts.maxTokens ?? ownLimit(facts.model),
  thinkingTokens: null,
  hidesUsage,
})

/** The body with these values set beside the standard tier and the granted limit; the very bytes that came when nothing changes. */
export function rewritten(
  body: JsonBody,
  raw: Uint8Array,
  facts: CallFacts,
  limit: { readonly key: string; readonly grantedTokens: bigint },
  more: ReadonlyMap<string, string> = new Map(),
): Uint8Array | string {
  const values = new Map(more)
  const fields = fieldsOf(body)
  if (leavesTierOpen(fields)) values.set('service_tier', '"default"')
  if (isAbsent(fields[limit.key]) || facts.maxTokens !== limit.grantedTokens) values.set(limit.key, limit.grantedTokens.toString())
  return values.size === 0 ? raw : setTopLevel(body.text, body.scan, values)
}

/** The vendor's own types and codes by status. Agents stop at once on `insufficient_quota`. */
const FORMS: Readonly<Record<number, { readonly type: string; readonly code: string | null }>> = {
  400: { type: 'invalid_request_error', code: null },
  401: { type: 'invalid_request_error', code: 'invalid_api_key' },
  402: { type: 'insufficient_quota', code: 'insufficient_quota' },
  403: { type: 'permission_error', code: null },
  404: { type: 'invalid_request_error', code: 'model_not_found' },
  413: { type: 'invalid_request_error', code: 'request_too_large' },
  429: { type: 'rate_limit_error', code: 'rate_limit_exceeded' },
}
const FAULT = { type: 'server_error', code: 'server_error' } as const

/** The error in the vendor's own form. */
export function openaiError(error: AutovibeError, status: number): { error: { message: string; type: string; code: string | null; param: null } } {
  return { error: { ...wordsOf(error), ...(FORMS[status] ?? FAULT), param: null } }
}

/** Errors that the vendor sends instead of doing any work, by code or by type. */
const UNBILLED = new Set([
  'rate_limit_exceeded',
  'rate_limit_error',
  'requests',
  'tokens',
  'insufficient_quota',
  'invalid_request_error',
  'invalid_api_key',
  'invalid_prompt',
  'authentication_error',
  'permission_error',
  'not_found_error',
  'model_not_found',
  'context_length_exceeded',
  'server_is_overloaded',
  'overloaded_error',
])

/** True when this error says that nothing was done. */
export function isUnbilled(error: Fields): boolean {
  return [error['code'], error['type']].some((name) => typeof name === 'string' && UNBILLED.has(name))
}
