/** What the two ends of an exec may say to each other, and when: the Hub between them lets nothing else through. */
import { AutovibeError, ExecInput, ExecOutput, type ExecStream, ExecWindow, unpackExecData } from '@autovibe/contract'

/** A frame as it came. */
export interface ExecFrame {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly isBinary: boolean
}

/** A frame that may be passed on: data as it came, words as they were understood. */
export type Passed<Words> = { readonly kind: 'data'; readonly stream: ExecStream; readonly size: number } | { readonly kind: 'words'; readonly words: Words }

type Phase = 'called' | 'started' | 'ended'

/** Input may be taken before the command is known to run. */
const WHEN: Readonly<Record<ExecOutput['type'], readonly Phase[]>> = {
  started: ['called'],
  refused: ['called'],
  credit: ['called', 'started'],
  exit: ['started'],
}

export class ExecConversation {
  readonly #windows: Readonly<Record<ExecStream, ExecWindow>> = { stdin: new ExecWindow(), stdout: new ExecWindow(), stderr: new ExecWindow() }
  readonly #tty: boolean
  #stdinOpen: boolean
  #phase: Phase = 'called'

  constructor(options: { readonly tty: boolean; readonly stdin: boolean }) {
    this.#tty = options.tty
    this.#stdinOpen = options.stdin
  }

  get phase(): Phase {
    return this.#phase
  }

  /** Throws `request.invalid` for a frame that breaks the rules, after which nothing of this end is believed. */
  fromClient({ bytes, isBinary }: ExecFrame): Passed<ExecInput> {
    if (isBinary) {
      const size = this.#data(bytes, (stream) => stream === 'stdin' && this.#stdinOpen)
      return { kind: 'data', stream: 'stdin', size }
    }
    const words = understood(ExecInput, bytes)
    if (words.type === 'stdin_end') this.#stdinOpen = false
    if (words.type === 'credit') this.#grant(words.stream, words.bytes)
    return { kind: 'words', words }
  }

  /** The same for the machine. */
  fromMachine({ bytes, isBinary }: ExecFrame): Passed<ExecOutput> {
    if (this.#phase === 'ended') throw broken('speaks after its end')
    if (isBinary) {
      let of: ExecStream = 'stdout'
      const size = this.#data(bytes, (stream) => {
        of = stream
        return this.#phase === 'started' && (stream === 'stdout' || (stream === 'stderr' && !this.#tty))
      })
      return { kind: 'data', stream: of, size }
    }
    const words = understood(ExecOutput, bytes)
    if (!WHEN[words.type].includes(this.#phase)) throw broken(`says ${words.type} at the wrong time`)
    if (words.type === 'started') this.#phase = 'started'
    if (words.type === 'exit' || words.type === 'refused') this.#phase = 'ended'
    if (words.type === 'credit') this.#grant(words.stream, words.bytes)
    return { kind: 'words', words }
  }

  #data(frame: Uint8Array<ArrayBuffer>, isAllowed: (stream: ExecStream) => boolean): number {
    const data = unpackExecData(frame)
    if (!data || !isAllowed(data.stream)) throw broken('sends data that nobody waits for')
    if (!this.#windows[data.stream].spend(data.bytes.length)) throw broken('sends more than was granted')
    return data.bytes.length
  }

  #grant(stream: ExecStream, bytes: number): void {
    if (!this.#windows[stream].grant(bytes)) throw broken('grants what was never sent')
  }
}

function understood<T>(schema: { safeParse(value: unknown): { success: true; data: T } | { success: false } }, bytes: Uint8Array): T {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw broken('says what is not JSON')
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw broken('says what is not understood')
  return parsed.data
}

const broken = (what: string): AutovibeError => new AutovibeError('request.invalid', `One end of the exec ${what}.`)
