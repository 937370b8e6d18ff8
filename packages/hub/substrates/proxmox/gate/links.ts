/** The links that guests hold open now: one for each machine, the newest; and whoever waits for one. */
import { type ClientHttp2Session, connect } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import type { MachineId } from '@autovibe/contract'
import { unavailable } from './call.ts'
import { type GuestTimes, LinkedGuest } from './linked-guest.ts'

interface Link {
  readonly session: ClientHttp2Session
  readonly guest: LinkedGuest
}

/** Of what a guest sends that nobody has read yet, for a link as a whole. */
const WINDOW_BYTES = 4 * 1024 * 1024
const HEADERS_MAX = 32
const HEADER_BYTES_MAX = 8 * 1024
/** In megabytes: what the library may hold for one link. */
const MEMORY_MB = 16
const PING_EVERY_MS = 15_000
const SILENT_MOST_MS = 45_000

export class Links {
  readonly #times: GuestTimes
  readonly #links = new Map<MachineId, Link>()
  readonly #waiting = new Map<MachineId, Set<(guest: LinkedGuest) => void>>()

  constructor(times: GuestTimes) {
    this.#times = times
  }

  current(machineId: MachineId): LinkedGuest | null {
    return this.#links.get(machineId)?.guest ?? null
  }

  within(machineId: MachineId, withinMs: number, signal: AbortSignal): Promise<LinkedGuest> {
    const now = this.current(machineId)
    if (now !== null) return Promise.resolve(now)
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<LinkedGuest>()
    const waiting = this.#waiting.get(machineId) ?? new Set()
    this.#waiting.set(machineId, waiting.add(resolve))
    const timer = setTimeout(() => reject(unavailable(`no guest of ${machineId} was linked within ${withinMs} ms`)), withinMs)
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    return promise.finally(() => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      waiting.delete(resolve)
      if (waiting.size === 0 && this.#waiting.get(machineId) === waiting) this.#waiting.delete(machineId)
    })
  }

  /** From here on the Hub is the one that asks. An earlier link of the machine ends. */
  add(machineId: MachineId, socket: TLSSocket): void {
    const session = connect('http://guest', {
      createConnection: () => socket,
      maxSessionMemory: MEMORY_MB,
      maxHeaderListPairs: HEADERS_MAX,
      maxReservedRemoteStreams: 0,
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES / 4, maxHeaderListSize: HEADER_BYTES_MAX, maxConcurrentStreams: 0 },
    })
    session.on('connect', () => session.setLocalWindowSize(WINDOW_BYTES))
    session.on('error', () => undefined)
    // A guest has nothing to ask here.
    session.on('stream', (stream) => stream.destroy())
    const link: Link = { session, guest: new LinkedGuest(session, this.#times) }
    this.end(machineId)
    this.#links.set(machineId, link)
    const stopPinging = watch(session)
    session.once('close', () => {
      stopPinging()
      socket.destroy()
      if (this.#links.get(machineId) === link) this.#links.delete(machineId)
    })
    for (const resolve of this.#waiting.get(machineId) ?? []) resolve(link.guest)
  }

  end(machineId: MachineId): void {
    const link = this.#links.get(machineId)
    this.#links.delete(machineId)
    link?.session.destroy()
  }

  endAll(): void {
    for (const machineId of [...this.#links.keys()]) this.end(machineId)
  }
}

/** A VM that went without a word sends nothing that would end the connection. */
function watch(session: ClientHttp2Session): () => void {
  let heardMs = performance.now()
  const timer = setInterval(() => {
    if (performance.now() - heardMs > SILENT_MOST_MS) session.destroy()
    else if (!session.destroyed && !session.connecting)
      session.ping((error) => {
        if (error === null) heardMs = performance.now()
      })
  }, PING_EVERY_MS)
  timer.unref()
  return () => clearInterval(timer)
}
