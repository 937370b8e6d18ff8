/** What an error on the way to a provider means: whether the request can have reached it, whether it says that the provider is down, and in words. */
import { LIMITS } from './limits.ts'

const NEVER_SENT_CODES = new Set(['UND_ERR_CONNECT_TIMEOUT', 'ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_INVALID_ARG'])

/** True when the request cannot have reached the provider: the connection was never made. Everything else may have been billed. */
export function wasNeverSent(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  // Every address of the host was tried, and each has its own error.
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.every(wasNeverSent)
  const { syscall } = error as NodeJS.ErrnoException
  const code = codeOf(error)
  return (
    syscall === 'connect' ||
    syscall === 'getaddrinfo' ||
    (code !== undefined && (NEVER_SENT_CODES.has(code) || /^(CERT_|ERR_TLS_CERT|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code)))
  )
}

/**
 * True when nothing seems to be there that answers. Whoever breaks a connection off lives; a request that cannot be written is its caller's fault; and only a stream
 * has a first byte to expect in time, for a whole message may take longer than that.
 */
export function saysDown(error: Error, isStream: boolean): boolean {
  const code = codeOf(error)
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return isStream
  return code !== 'UND_ERR_INVALID_ARG' && wasNeverSent(error)
}

const TIMEOUTS: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: `no connection within ${LIMITS.connectMs / 1000} s`,
  UND_ERR_HEADERS_TIMEOUT: `no first byte within ${LIMITS.firstByteMs / 1000} s`,
  UND_ERR_BODY_TIMEOUT: `silent in the middle of an answer for ${LIMITS.idleMs / 1000} s`,
}

/** What went wrong in a few words, without any text of the request. */
export function describeFailure(error: Error): string {
  const name = nameOf(error)
  const timeout = TIMEOUTS[name]
  return timeout === undefined ? name : `${timeout}, ${name}`
}

/** The error's code, or its class. */
export const nameOf = (error: Error): string => codeOf(error) ?? error.name

function codeOf(error: Error): string | undefined {
  const { code } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? code : undefined
}
