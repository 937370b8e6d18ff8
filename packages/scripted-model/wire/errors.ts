/** Failures in the provider's own form: status, type, sentence and headers. */

/** The type that the provider gives each status. */
export const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  500: 'api_error',
  504: 'timeout_error',
  529: 'overloaded_error',
}

/** A refusal on the wire. */
export class ProviderError extends Error {
  override readonly name = 'ProviderError'
  readonly status: number
  readonly type: string
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, message: string, options: { type?: string; headers?: Readonly<Record<string, string>> } = {}) {
    super(message)
    this.status = status
    this.type = options.type ?? ERROR_TYPES[status] ?? 'api_error'
    this.headers = options.headers ?? {}
  }

  /** The body of the answer, and of an `error` event in a stream. */
  body(requestId: string): { type: 'error'; error: { type: string; message: string }; request_id: string } {
    return { type: 'error', error: { type: this.type, message: this.message }, request_id: requestId }
  }
}

/** The refusal of a request that breaks the wire's rules. */
export function invalid(message: string): ProviderError {
  return new ProviderError(400, message)
}
