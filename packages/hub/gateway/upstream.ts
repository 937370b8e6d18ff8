/** The way out: one request to a provider, with our key instead of the machine's token. */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { Agent, type Dispatcher, request } from 'undici'
import { LIMITS } from './limits.ts'

export interface UpstreamTarget {
  readonly baseUrl: string
  readonly key: string
}

export interface UpstreamRequest {
  readonly target: UpstreamTarget
  /** Path and query below the base URL. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Uint8Array | string
  readonly signal: AbortSignal
}

export interface Upstream {
  send(request: UpstreamRequest): Promise<Dispatcher.ResponseData>
  /** Breaks what is still under way. */
  close(): Promise<void>
}

/** Connections are kept alive and not capped: a cap makes streams wait for each other, and admission bounds them already. */
export function createUpstream(): Upstream {
  const agent = new Agent({ connect: { timeout: LIMITS.connectMs }, headersTimeout: LIMITS.firstByteMs, bodyTimeout: LIMITS.idleMs, allowH2: false })
  return {
    send({ target, path, headers, body, signal }) {
      const base = target.baseUrl.replace(/\/+$/, '')
      return request(`${base}${path}`, { dispatcher: agent, method: 'POST', headers: requestHeaders(headers, target.key), body, signal })
    },
    close: () => agent.destroy(),
  }
}

/** RFC 9110 section 7.6.1, and what speaks of the connection rather than of the call. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
/** Who asks, who pays and where it goes is the Hub's to say; an encoding would hide the figures. */
const NOT_FORWARDED = new Set([
  'host',
  'content-length',
  'expect',
  'cookie',
  'authorization',
  'x-api-key',
  'accept-encoding',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  'anthropic-workspace-id',
  'anthropic-user-profile-id',
])
const NOT_RETURNED = new Set(['set-cookie', 'content-length', 'alt-svc', 'strict-transport-security'])

function requestHeaders(headers: IncomingHttpHeaders, key: string): Record<string, string | string[]> {
  return { ...pick(headers, NOT_FORWARDED), 'x-api-key': key, 'accept-encoding': 'identity' }
}

/** The provider's headers that the client may see. */
export function responseHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return pick(headers, NOT_RETURNED)
}

function pick(headers: IncomingHttpHeaders, left: ReadonlySet<string>): Record<string, string | string[]> {
  const named = new Set(
    String(headers.connection ?? '')
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  )
  const kept: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    if (value !== undefined && !HOP_BY_HOP.has(lower) && !left.has(lower) && !named.has(lower)) kept[lower] = value
  }
  return kept
}

const NEVER_SENT_CODES = new Set(['UND_ERR_CONNECT_TIMEOUT', 'ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_INVALID_ARG'])

/** True when the request cannot have reached the provider: the connection was never made. Everything else may have been billed. */
export function wasNeverSent(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, syscall } = error as NodeJS.ErrnoException
  return (
    syscall === 'connect' ||
    syscall === 'getaddrinfo' ||
    (code !== undefined && (NEVER_SENT_CODES.has(code) || /^(CERT_|ERR_TLS_CERT|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/.test(code)))
  )
}
