/** QEMU's two protocols, of its monitor and of its guest agent: one JSON document a line over a unix socket, a question and its answer at a time, and events in between. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

/** A VM's RAM takes a while to be kept. */
const ANSWER_MS = 120_000

export interface Line {
  readonly return?: unknown
  readonly error?: { readonly class: string; readonly desc: string }
  readonly event?: string
  readonly id?: unknown
}
/** What QEMU or the guest's agent says went wrong. */
export class QemuError extends Error {}

export class Lines {
  readonly #socket: Socket
  readonly #onEvent: (line: Line) => void
  #tail: Promise<unknown> = Promise.resolve()
  #waiting: ((line: Line | null) => void) | null = null
  #isOpen = true

  private constructor(socket: Socket, onEvent: (line: Line) => void) {
    this.#socket = socket
    this.#onEvent = onEvent
    // A QEMU that was killed may leave a reset behind, which both tell.
    createInterface({ input: socket })
      .on('line', (text) => this.#heard(text))
      .on('error', () => undefined)
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#isOpen = false
      this.giveUp()
    })
  }

  static async open(path: string, onEvent: (line: Line) => void = () => undefined): Promise<Lines> {
    const socket = connect(path)
    await once(socket, 'connect')
    return new Lines(socket, onEvent)
  }

  /** Throws a QemuError when the answer is one, or when none will come. */
  ask(command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const asked = this.#tail.then(async () => {
      const line = await this.#answer({ execute: command, arguments: parameters })
      if (line === null) throw new QemuError(`no answer came to ${command}`)
      if (line.error) throw new QemuError(line.error.desc)
      return line.return
    })
    this.#tail = asked.catch(() => undefined)
    return asked
  }

  /** Says something to which an answer, if one comes at all, is an event like any other. */
  say(command: string, parameters: Readonly<Record<string, unknown>>): void {
    if (this.#isOpen) this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters })}\n`)
  }

  /** Whoever had to answer is not the same any more. */
  giveUp(): void {
    this.#waiting?.(null)
    this.#waiting = null
  }

  #answer(question: object): Promise<Line | null> {
    if (!this.#isOpen) return Promise.resolve(null)
    const { promise, resolve } = Promise.withResolvers<Line | null>()
    this.#waiting = resolve
    const timer = setTimeout(() => this.giveUp(), ANSWER_MS)
    this.#socket.write(`${JSON.stringify(question)}\n`)
    return promise.finally(() => clearTimeout(timer))
  }

  #heard(text: string): void {
    // The agent marks the beginning of an answer to a delimited sync with this byte.
    const line = JSON.parse(text.replaceAll('\u00ff', '')) as Line
    const waiting = this.#waiting
    if (waiting === null || line.event !== undefined || !('return' in line || 'error' in line)) {
      this.#onEvent(line)
      return
    }
    this.#waiting = null
    waiting(line)
  }
}
