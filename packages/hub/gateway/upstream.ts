/** The way out: one request to a provider, with our key instead of the machine's token. */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import { Agent, type Dispatcher } from 'undici'
import { LIMITS } from './limits.ts'

export interface UpstreamTarget {
  readonly baseUrl: string
  readonly origin: string
  /** What of the base URL comes before every path; without a slash at its end. */
  readonly basePath: string
  readonly key: string
}

/** Where a provider's base URL leads. */
export function targetOf(baseUrl: string, key: string): UpstreamTarget {
  const { origin, pathname } = new URL(baseUrl)
  return { baseUrl, origin, basePath: pathname.replace(/\/+$/, ''), key }
}

export interface UpstreamRequest {
  readonly target: UpstreamTarget
  /** Path and query below the base URL. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** What carries our key, in the wire's own way. */
  readonly keyHeaders: Record<string, string>
  readonly body: Uint8Array | string
}

export interface Upstream {
  /** Sends it; the handler hears of the answer, or of the error that took its place. */
  dispatch(request: UpstreamRequest, handler: Dispatcher.DispatchHandler): void
  /** Asks a small question and returns the text of a good answer; rejects on any other status, above so many bytes, and when the signal says so. */
  ask(request: UpstreamRequest, limits: { readonly signal: AbortSignal; readonly mostBytes: number }): Promise<string>
  /** Breaks what is still under way. */
  close(): Promise<void>
}

/** Connections are kept alive and not capped: a cap makes streams wait for each other, and admission bounds them already. */
export function createUpstream(): Upstream {
  const agent = new Agent({ connect: { timeout: LIMITS.connectMs }, headersTimeout: LIMITS.firstByteMs, bodyTimeout: LIMITS.idleMs, allowH2: false })
  return {
    dispatch({ target, path, headers, keyHeaders, body }, handler) {
      const { origin, basePath } = target
      agent.dispatch({ origin, path: `${basePath}${path}`, method: 'POST', headers: requestHeaders(headers, keyHeaders), body }, handler)
    },
    async ask({ target, path, headers, keyHeaders, body }, { signal, mostBytes }) {
      const { origin, basePath } = target
      const answer = await agent.request({ origin, path: `${basePath}${path}`, method: 'POST', headers: requestHeaders(headers, keyHeaders), body, signal })
      const chunks: Buffer[] = []
      let size = 0
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        size += chunk.length
        // Leaving the loop early breaks the connection.
        if (size > mostBytes) throw new Error(`the answer is larger than ${mostBytes} bytes`)
        chunks.push(chunk)
      }
      if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`)
      return Buffer.concat(chunks, size).toString('utf8')
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
  'openai-organization',
  'openai-project',
])
const NOT_RETURNED = new Set(['set-cookie', 'content-length', 'alt-svc', 'strict-transport-security'])

function requestHeaders(headers: IncomingHttpHeaders, keyHeaders: Record<string, string>): Record<string, string | string[]> {
  return { ...pick(headers, NOT_FORWARDED), ...keyHeaders, 'accept-encoding': 'identity' }
}

/** The provider's headers that the client may see. */
export function responseHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  return pick(headers, NOT_RETURNED)
}

function pick(headers: IncomingHttpHeaders, left: ReadonlySet<string>): Record<string, string | string[]> {
  const named = String(headers.connection ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
  const kept: Record<string, string | string[]> = {}
  for (const name in headers) {
    const value = headers[name]
    const lower = name.toLowerCase()
    if (value !== undefined && !HOP_BY_HOP.has(lower) && !left.has(lower) && !named.includes(lower)) kept[lower] = value
  }
  return kept
}
