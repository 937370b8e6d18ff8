/** One end of an exec: a WebSocket of which no more is read than the other end takes. */
import type { ExecFrame } from '@autovibe/core/exec/conversation.ts'
import type { RawData, WebSocket } from 'ws'

/** What may wait to be sent to an end before the other one is no longer read; small frames cost more than their bytes. */
const WAITING_FRAMES_MAX = 64
const WAITING_BYTES_MAX = 256 * 1024

export class Leg {
  readonly #socket: WebSocket
  readonly #drained = new Set<() => void>()
  #waiting = 0

  constructor(socket: WebSocket) {
    this.#socket = socket
    // Answered by hand: whoever pings without reading would otherwise fill the memory with answers.
    socket.on('ping', (data) => this.isFull || socket.pong(data))
    // What broke is told by `close`, which follows.
    socket.on('error', () => undefined)
  }

  get isFull(): boolean {
    return this.#waiting >= WAITING_FRAMES_MAX || this.#socket.bufferedAmount >= WAITING_BYTES_MAX
  }

  /** Calls back with each frame; not read on while `other` has enough to send. */
  read(onFrame: (frame: ExecFrame) => void, other: () => Leg | undefined): void {
    this.#socket.on('message', (data: RawData, isBinary: boolean) => {
      onFrame({ bytes: data as Buffer<ArrayBuffer>, isBinary })
      const to = other()
      if (!to?.isFull || this.#socket.isPaused) return
      this.#socket.pause()
      to.#drained.add(() => this.#socket.resume())
    })
  }

  send(what: Uint8Array | object): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    this.#waiting++
    this.#socket.send(what instanceof Uint8Array ? what : JSON.stringify(what), { binary: what instanceof Uint8Array }, () => {
      this.#waiting--
      if (this.isFull) return
      for (const goOn of this.#drained) goOn()
      this.#drained.clear()
    })
  }

  onClose(listener: () => void): void {
    this.#socket.once('close', listener)
  }

  onPong(listener: () => void): void {
    this.#socket.on('pong', listener)
  }

  get isPaused(): boolean {
    return this.#socket.isPaused
  }

  ping(): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** At once, with nothing more sent or read. */
  cut(): void {
    this.#socket.terminate()
  }
}
