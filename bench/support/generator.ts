/** The load generator: a process of its own that writes ready-made requests to sockets and reads just so much of the answers that it knows their ends. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { answerParent } from './child.ts'
import { type Message, MessageReader } from './message-reader.ts'

/** Where one connection goes, and what it says there. */
export interface Place {
  /** A unix socket; otherwise `port` of this host. */
  readonly socketPath?: string
  readonly port?: number
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

interface Calls {
  /** One connection each. */
  readonly places: readonly Place[]
  readonly body: Buffer
  /** A shorter answer ends the run. */
  readonly leastBytes: number
}

export type Job =
  /** One call; its answer's body. */
  | ({ readonly kind: 'one' } & Calls)
  /** Each connection sends its next request when the last was answered, for so long. */
  | ({ readonly kind: 'busy'; readonly forMs: number } & Calls)
  /** One call on each connection, begun one after the other over so long. */
  | ({ readonly kind: 'ramp'; readonly overMs: number } & Calls)

export interface Done {
  /** Of each call, until the last byte. */
  readonly ms: Float64Array
  /** Of each call, until the first byte of the body. */
  readonly firstByteMs: Float64Array
  readonly perSecond: number
  /** The most calls that were under way at once. */
  readonly liveMax: number
  readonly body: Buffer
}

const CALL_TIMEOUT_MS = 120_000

class Connection {
  readonly #socket: Socket
  readonly #request: Buffer
  readonly #leastBytes: number
  #call: PromiseWithResolvers<Message> | null = null
  firstByteAt = 0

  private constructor(place: Place, { body, leastBytes }: Calls, requests: Map<string, Buffer>, keepAll: boolean) {
    this.#request = requestTo(place, body, requests)
    this.#leastBytes = leastBytes
    const reader = new MessageReader({
      keeps: (head) => keepAll || !isOk(head),
      onFirstByte: () => {
        this.firstByteAt = performance.now()
      },
      onMessage: (message) => this.#answered(message),
    })
    const callback = (count: number, buffer: Uint8Array) => {
      try {
        reader.push(Buffer.from(buffer.buffer, buffer.byteOffset, count))
      } catch (error) {
        this.#socket.destroy(error as Error)
      }
      return true
    }
    const to = place.socketPath === undefined ? { host: '127.0.0.1', port: place.port ?? 0 } : { path: place.socketPath }
    this.#socket = connect({ ...to, noDelay: true, onread: { buffer: SHARED, callback } })
    this.#socket.setTimeout(CALL_TIMEOUT_MS, () => this.#socket.destroy(new Error('no answer in time')))
    this.#socket.on('error', (error) => this.#call?.reject(new Error(`${nameOf(place)}: ${error.message}`)))
    this.#socket.on('close', () => this.#call?.reject(new Error(`${nameOf(place)} closed the connection in the middle of a call`)))
  }

  static async open(place: Place, calls: Calls, requests: Map<string, Buffer>, keepAll = false): Promise<Connection> {
    const connection = new Connection(place, calls, requests, keepAll)
    await once(connection.#socket, 'connect')
    return connection
  }

  call(): Promise<Message> {
    this.#call = Promise.withResolvers<Message>()
    this.#socket.write(this.#request)
    return this.#call.promise
  }

  close(): void {
    this.#call = null
    this.#socket.destroy()
  }

  #answered(message: Message): void {
    if (!isOk(message.head)) this.#call?.reject(new Error(`an answer was no 200: ${message.head.slice(0, 40)} … ${message.body.toString().slice(0, 500)}`))
    else if (message.bytes < this.#leastBytes) this.#call?.reject(new Error(`an answer had ${message.bytes} bytes instead of ${this.#leastBytes} or more`))
    else this.#call?.resolve(message)
  }
}

/** What was read is used up before the next piece comes, so that one buffer serves all connections. */
const SHARED = Buffer.alloc(256 * 1024)
const isOk = (head: string): boolean => head.startsWith('200', 9)
const nameOf = (place: Place): string => place.socketPath ?? `port ${place.port}`

function requestTo({ path, headers }: Place, body: Buffer, requests: Map<string, Buffer>): Buffer {
  const lines = Object.entries({ host: '127.0.0.1', ...headers, 'content-length': String(body.length) }).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = `POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
  const request = requests.get(head) ?? Buffer.concat([Buffer.from(head), body])
  requests.set(head, request)
  return request
}

class Notes {
  readonly #ms: number[] = []
  readonly #firstByteMs: number[] = []
  #live = 0
  #liveMax = 0

  async call(connection: Connection): Promise<Message> {
    this.#liveMax = Math.max(this.#liveMax, ++this.#live)
    const startedAt = performance.now()
    const message = await connection.call()
    this.#live--
    this.#ms.push(performance.now() - startedAt)
    this.#firstByteMs.push(connection.firstByteAt - startedAt)
    return message
  }

  done(perSecond: number, body: Buffer = Buffer.alloc(0)): Done {
    return { ms: Float64Array.from(this.#ms), firstByteMs: Float64Array.from(this.#firstByteMs), perSecond, liveMax: this.#liveMax, body }
  }
}

async function work(job: Job): Promise<Done> {
  const requests = new Map<string, Buffer>()
  const connections = await Promise.all(job.places.map((place) => Connection.open(place, job, requests, job.kind === 'one')))
  try {
    if (job.kind === 'one') return await one(connections)
    return job.kind === 'busy' ? await busy(connections, job.forMs) : await ramp(connections, job.overMs)
  } finally {
    for (const connection of connections) connection.close()
  }
}

async function one([connection]: readonly Connection[]): Promise<Done> {
  if (!connection) throw new RangeError('there is no place to call')
  const notes = new Notes()
  return notes.done(0, (await notes.call(connection)).body)
}

/** The clock starts when each connection has had one answer. A call that is under way at the end is waited for, and its connection's time with it. */
async function busy(connections: readonly Connection[], forMs: number): Promise<Done> {
  await Promise.all(connections.map((connection) => connection.call()))
  const notes = new Notes()
  const startedAt = performance.now()
  const perSecond = await Promise.all(
    connections.map(async (connection) => {
      for (let calls = 1; ; calls++) {
        await notes.call(connection)
        const takenMs = performance.now() - startedAt
        if (takenMs >= forMs) return (calls * 1000) / takenMs
      }
    }),
  )
  return notes.done(perSecond.reduce((sum, each) => sum + each, 0))
}

async function ramp(connections: readonly Connection[], overMs: number): Promise<Done> {
  const notes = new Notes()
  const startedAt = performance.now()
  await Promise.all(
    connections.map(async (connection, index) => {
      await new Promise((resolve) => setTimeout(resolve, (index * overMs) / connections.length))
      await notes.call(connection)
    }),
  )
  return notes.done((connections.length * 1000) / (performance.now() - startedAt))
}

answerParent(work)
