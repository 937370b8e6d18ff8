/** HTTP/1.1 to the Hub over the machine's unix socket, with node:http alone so that it loads in a few milliseconds. */
import { Agent, type IncomingMessage, request } from 'node:http'

/** The Hub did not answer, or not to the end; the same request may succeed later. */
export class HubLost extends Error {
  override readonly name = 'HubLost'
}

export interface DoorAnswer {
  readonly status: number
  readonly body: Buffer
}

export interface DoorRequest {
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly path: string
  readonly body?: unknown
  /** Without any byte from the Hub for so long, it counts as lost. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** The most bytes of an answer that are read into memory; only the source bundle is larger, and it is streamed. */
const ANSWER_BYTES_MAX = 8 * 1024 * 1024

export class DoorWire {
  readonly #socketPath: string
  readonly #token: string
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 })

  constructor(socketPath: string, token: string) {
    this.#socketPath = socketPath
    this.#token = token
  }

  /** One request, one answer of any status. Throws HubLost, or the signal's reason. */
  async send(ask: DoorRequest): Promise<DoorAnswer> {
    const response = await this.open(ask)
    const chunks: Buffer[] = []
    let size = 0
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        size += chunk.length
        if (size > ANSWER_BYTES_MAX) throw new HubLost(`the answer to ${ask.path} is larger than ${ANSWER_BYTES_MAX} bytes`)
        chunks.push(chunk)
      }
    } catch (error) {
      throw lost(ask, error)
    }
    return { status: response.statusCode ?? 0, body: Buffer.concat(chunks) }
  }

  /** The same with the answer's body still to be read. */
  open(ask: DoorRequest): Promise<IncomingMessage> {
    const body = ask.body === undefined ? undefined : Buffer.from(JSON.stringify(ask.body))
    return new Promise((resolve, reject) => {
      const outgoing = request({
        socketPath: this.#socketPath,
        agent: this.#agent,
        method: ask.method,
        path: ask.path,
        timeout: ask.timeoutMs,
        ...(ask.signal ? { signal: ask.signal } : {}),
        headers: {
          host: 'hub',
          authorization: `Bearer ${this.#token}`,
          ...(body ? { 'content-type': 'application/json', 'content-length': body.length } : {}),
        },
      })
      outgoing.on('response', resolve)
      outgoing.on('timeout', () => outgoing.destroy(new HubLost(`no answer to ${ask.path} within ${ask.timeoutMs} ms`)))
      outgoing.on('error', (error) => reject(lost(ask, error)))
      outgoing.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

function lost(ask: DoorRequest, error: unknown): unknown {
  if (error instanceof HubLost || ask.signal?.aborted) return error
  return new HubLost(`${ask.method} ${ask.path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
}
