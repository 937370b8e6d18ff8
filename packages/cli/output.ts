/** How the command speaks: the payload on standard output, everything else on standard error. */
import { once } from 'node:events'
import type { Problem } from '@autovibe/contract'
import pc from 'picocolors'
import { asCalled, calledAs } from './called.ts'

export type Paint = ReturnType<typeof pc.createColors>

interface Streams {
  readonly json: boolean
  readonly env: NodeJS.ProcessEnv
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
}

export class Output {
  readonly json: boolean
  /** Colours for standard output. */
  readonly paint: Paint
  /** A person sits in front of standard error. */
  readonly interactive: boolean
  readonly #streams: Streams
  readonly #called: string
  #live = ''

  constructor(streams: Streams) {
    this.#streams = streams
    this.#called = calledAs(streams.env)
    this.json = streams.json
    this.interactive = streams.stderr.isTTY === true && !streams.json
    const { NO_COLOR, FORCE_COLOR, TERM } = streams.env
    const wanted =
      NO_COLOR === undefined || NO_COLOR === ''
        ? (FORCE_COLOR !== undefined && FORCE_COLOR !== '0') || (streams.stdout.isTTY === true && TERM !== 'dumb')
        : false
    this.paint = pc.createColors(wanted)
  }

  /** How wide the terminal behind standard output is; undefined where there is none. */
  get width(): number | undefined {
    return this.#streams.stdout.isTTY === true ? this.#streams.stdout.columns : undefined
  }

  /** The answer for people; nothing with --json. */
  lines(lines: readonly string[]): void {
    if (this.json || lines.length === 0) return
    this.#clearLive()
    this.#streams.stdout.write(`${lines.join('\n')}\n`)
    this.#drawLive()
  }

  /** The answer for programs: the one document, or one line of many; nothing without --json. */
  record(value: unknown): void {
    if (this.json) this.#streams.stdout.write(`${JSON.stringify(value)}\n`)
  }

  /** The same data in both forms. */
  answer(value: unknown, lines: readonly string[]): void {
    this.record(value)
    this.lines(lines)
  }

  /** A piece of an answer that is as long as it likes, as it is; resolves when the reader has room for the next. */
  async piece(piece: string | Uint8Array): Promise<void> {
    this.#clearLive()
    if (!this.#streams.stdout.write(piece)) await once(this.#streams.stdout, 'drain')
  }

  /** Something to know beside the answer; silent with --json. The commands in it can be pasted. */
  note(line: string): void {
    if (this.json) return
    this.#clearLive()
    this.#streams.stderr.write(`${asCalled(line, this.#called)}\n`)
    this.#drawLive()
  }

  /** What a person may do next: whole commands, one on each line. */
  next(commands: readonly string[]): void {
    for (const [index, command] of commands.entries()) this.note(`${index === 0 ? 'Next:' : '     '} ${command}`)
  }

  /** With --json, a failure is one line on standard error. */
  problem(problem: Problem): void {
    this.#streams.stderr.write(`${JSON.stringify(problem)}\n`)
  }

  /** What is going on just now, in one line that the next replaces; only for a person at a terminal. */
  live(text: string): void {
    if (!this.interactive) return
    this.#clearLive()
    this.#live = text.slice(0, Math.max(20, (this.#streams.stderr.columns || 80) - 3))
    this.#drawLive()
  }

  endLive(): void {
    this.#clearLive()
    this.#live = ''
  }

  /** Resolves once everything has left the process. */
  async flush(): Promise<void> {
    this.endLive()
    for (const stream of [this.#streams.stdout, this.#streams.stderr]) await new Promise<void>((resolve) => stream.write('', () => resolve()))
  }

  #clearLive(): void {
    if (this.#live !== '') this.#streams.stderr.write('\r\u001b[2K')
  }

  #drawLive(): void {
    if (this.#live !== '') this.#streams.stderr.write(`${this.paint.dim(`… ${this.#live}`)}`)
  }
}
