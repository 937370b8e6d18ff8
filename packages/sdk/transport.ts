/** Sends one request to the Hub: key, idempotency, a few safe retries, and every failure as an AutovibeError. */
import { AutovibeError, type Page, type Problem } from '@autovibe/contract'

export interface AutovibeOptions {
  /** Where the Hub listens; a function is asked anew for every attempt, for a Hub that may come back on another port. */
  readonly url: string | (() => string)
  readonly key: string
  readonly fetch?: typeof fetch | undefined
  readonly userAgent?: string | undefined
  /** How often a safe request is sent in all, 1 to 10; 3 when left out. */
  readonly attempts?: number | undefined
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

export type Query = Readonly<Record<string, string | number | boolean | null | undefined>>

export interface RequestOptions extends CallOptions {
  readonly query?: Query | undefined
  /** Sent as JSON. */
  readonly body?: unknown
  /** Sent as it is; a Blob of a file is read again for a retry. */
  readonly bytes?: Blob | Uint8Array<ArrayBuffer> | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** 1 sends once, whatever the client's setting. */
  readonly attempts?: number | undefined
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

const RETRIED_STATUS = new Set([429, 502, 503, 504])
const LONGEST_RETRY_AFTER_MS = 30_000
const FIRST_DELAY_MS = 150

export class Transport {
  readonly #options: AutovibeOptions
  readonly #fetch: typeof fetch

  constructor(options: AutovibeOptions) {
    this.#options = options
    this.#fetch = options.fetch ?? fetch
  }

  /** The parsed JSON answer. */
  async json<T>(method: Method, path: string, options: RequestOptions = {}): Promise<T> {
    const response = await this.send(method, path, options)
    const text = await readText(response)
    if (text === '') return undefined as T
    try {
      return JSON.parse(text) as T
    } catch (cause) {
      throw new AutovibeError('internal', `The Hub answered ${method} ${path} with something that is not JSON.`, { cause, fix: 'autovibe doctor' })
    }
  }

  page<T>(path: string, query: Query, options: CallOptions = {}): Promise<Page<T>> {
    return this.json('GET', path, { ...options, query })
  }

  /**
   * An answer with a 2xx status; everything else is thrown. GET and PUT repeat themselves safely, POST by its Idempotency-Key; PATCH is sent once, because
   * its If-Match would refuse the repeat of a change that went through.
   */
  async send(method: Method, path: string, options: RequestOptions = {}): Promise<Response> {
    const attempts = method === 'PATCH' ? 1 : Math.min(10, Math.max(1, options.attempts ?? this.#options.attempts ?? 3))
    const headers = this.#headers(method, options)
    for (let attempt = 1; ; attempt++) {
      options.signal?.throwIfAborted()
      let failure: AutovibeError
      let delayMs = FIRST_DELAY_MS * 2 ** (attempt - 1)
      try {
        const response = await this.#fetch(this.#address(path, options.query), {
          method,
          headers,
          signal: options.signal ?? null,
          ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
          ...(options.bytes === undefined ? {} : { body: options.bytes }),
        })
        if (response.ok) return response
        failure = await errorOf(response)
        if (!RETRIED_STATUS.has(response.status) && failure.code !== 'idempotency.in_flight') throw failure
        delayMs = retryAfterMs(response.headers.get('retry-after')) ?? delayMs
      } catch (thrown) {
        if (thrown instanceof AutovibeError) throw thrown
        if (options.signal?.aborted) throw options.signal.reason
        failure = unreachable(this.#origin(), thrown)
      }
      if (attempt >= attempts || delayMs > LONGEST_RETRY_AFTER_MS) throw failure
      await pause(delayMs, options.signal)
    }
  }

  /** A WebSocket at this path; it carries no key, because browsers send none. */
  socket(path: string, protocols: string[]): WebSocket {
    const url = this.#address(path)
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
    return new WebSocket(url, protocols)
  }

  #origin(): string {
    return typeof this.#options.url === 'string' ? this.#options.url : this.#options.url()
  }

  #address(path: string, query: Query = {}): URL {
    const url = new URL(`/v1${path}`, this.#origin())
    for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== null) url.searchParams.set(name, String(value))
    return url
  }

  #headers(method: Method, options: RequestOptions): Headers {
    const headers = new Headers({ accept: 'application/json', ...options.headers })
    headers.set('authorization', `Bearer ${this.#options.key}`)
    if (this.#options.userAgent !== undefined) headers.set('user-agent', this.#options.userAgent)
    if (options.body !== undefined) headers.set('content-type', 'application/json')
    if (options.bytes !== undefined && !headers.has('content-type')) headers.set('content-type', 'application/octet-stream')
    if (method === 'POST' && !headers.has('idempotency-key')) headers.set('idempotency-key', crypto.randomUUID())
    return headers
  }
}

/** Waits; rejects with the signal's reason when it fires. */
export function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, delayMs)
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', stop, { once: true })
  })
}

/** What a failed answer says: its problem document, or the status where it has none. */
export async function errorOf(response: Response): Promise<AutovibeError> {
  const text = await readText(response).catch(() => '')
  const problem = parseProblem(text)
  if (problem) return AutovibeError.fromProblem(problem)
  const code =
    response.status === 401
      ? 'auth.missing'
      : response.status === 403
        ? 'auth.forbidden'
        : response.status === 404
          ? 'not_found'
          : RETRIED_STATUS.has(response.status)
            ? 'hub.unreachable'
            : 'internal'
  return new AutovibeError(code, `The Hub answered with status ${response.status} and without an explanation.`, { fix: 'autovibe doctor' })
}

export const unreachable = (url: string, cause: unknown): AutovibeError =>
  new AutovibeError('hub.unreachable', `The Hub at ${url} does not answer (${reasonOf(cause)}).`, { cause, fix: 'autovibe up' })

function parseProblem(text: string): Problem | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null) return undefined
    const { code, detail } = value as Partial<Problem>
    return typeof code === 'string' && typeof detail === 'string' ? (value as Problem) : undefined
  } catch {
    return undefined
  }
}

async function readText(response: Response): Promise<string> {
  try {
    return await response.text()
  } catch (cause) {
    throw new AutovibeError('hub.unreachable', `The Hub broke off its answer (${reasonOf(cause)}).`, { cause, fix: 'autovibe doctor' })
  }
}

/** fetch hides the reason (ECONNREFUSED …) in the cause of a "fetch failed". */
function reasonOf(thrown: unknown): string {
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown
  if (!(cause instanceof Error)) return String(cause)
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message
}

function retryAfterMs(header: string | null): number | undefined {
  if (header === null) return undefined
  if (/^[0-9]{1,6}$/.test(header)) return Number(header) * 1000
  const at = Date.parse(header)
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now())
}
