/** Listens to a stream of Chat Completions, and takes out of it the usage that only the gateway has asked for. */
import { isFields } from '@autovibe/core/budgets/json-values.ts'
import { isUsageChunk, usageAfterChunk } from '@autovibe/core/budgets/openai-chat.ts'
import { NO_USAGE, type UsageSoFar } from '@autovibe/core/budgets/usage.ts'
import { EventLines, isData, jsonOf, textToBytes } from './event-lines.ts'
import { isUnbilled } from './openai.ts'
import type { StreamTap } from './wire.ts'

/** As the vendor writes it; within a text its quotes would be escaped, so this can only be a key. */
const NULL_USAGE = ',"usage":null'
const DONE = /^data:\s*\[DONE\]\s*$/
const BLANK = /^\r?\n?$/
const NOTHING = new Uint8Array(0)

export class ChatTap implements StreamTap {
  readonly #hides: boolean
  readonly #lines: EventLines
  #out = ''
  #changed = false
  #afterHidden = false
  #usage: UsageSoFar = NO_USAGE
  #begun = false
  #done = false
  #failed = false
  #refused = false

  constructor(hidesUsage: boolean) {
    this.#hides = hidesUsage
    this.#lines = new EventLines({ line: (line) => this.#line(line), piece: (piece) => this.#piece(piece) })
  }

  get usage(): UsageSoFar {
    return this.#usage
  }

  get ended(): boolean {
    return this.#done || this.#failed
  }

  get refusedBeforeStart(): boolean {
    return this.#refused
  }

  push(chunk: Uint8Array): Uint8Array {
    const heldBefore = !this.#lines.empty
    this.#lines.push(chunk)
    if (!this.#hides) return chunk
    if (heldBefore || this.#changed || !this.#lines.empty) return this.#take()
    this.#out = ''
    return chunk
  }

  end(): Uint8Array {
    this.#lines.end()
    return this.#hides ? this.#take() : NOTHING
  }

  #take(): Uint8Array {
    const out = this.#out
    this.#out = ''
    this.#changed = false
    return out === '' ? NOTHING : textToBytes(out)
  }

  #piece(piece: string): void {
    this.#begun = true
    this.#keep(piece)
  }

  #line(line: string): void {
    if (!isData(line)) this.#plain(line)
    else if (line.length < 32 && DONE.test(line)) this.#end(line)
    else this.#chunk(line)
  }

  /** The empty line that ended a hidden event goes with it. */
  #plain(line: string): void {
    if (this.#afterHidden && BLANK.test(line)) this.#changed = true
    else this.#keep(line)
    this.#afterHidden = false
  }

  #end(line: string): void {
    this.#done = true
    // Figures that came beside text can grow no more.
    if (this.#usage.completeness === 'input') this.#usage = { ...this.#usage, completeness: 'full' }
    this.#keep(line)
  }

  #chunk(line: string): void {
    const nullUsage = line.indexOf(NULL_USAGE)
    const rest = nullUsage === -1 ? line : line.slice(0, nullUsage) + line.slice(nullUsage + NULL_USAGE.length)
    const tells = rest.includes('"usage"') || rest.includes('"error"')
    const hidden = tells && this.#read(jsonOf(line)) && this.#hides
    this.#begun = true
    this.#afterHidden = hidden
    if (!hidden) this.#keep(rest)
    if (hidden || rest !== line) this.#changed = true
  }

  /** Takes what a chunk tells; true when it is there for its usage only. */
  #read(chunk: unknown): boolean {
    if (!isFields(chunk)) return false
    if (isFields(chunk['error'])) {
      this.#failed = true
      this.#refused = !this.#begun && isUnbilled(chunk['error'])
    }
    this.#usage = usageAfterChunk(this.#usage, chunk)
    return isUsageChunk(chunk)
  }

  #keep(text: string): void {
    if (this.#hides) this.#out += text
  }
}
