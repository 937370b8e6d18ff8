/** A command inside a machine, as streams with a flow: what is not read here stops the command's output there, and nothing piles up in between. */
import {
  AutovibeError,
  type CreateExec,
  EXEC_LIMITS,
  EXEC_PROTOCOL,
  EXEC_TICKET_PREFIX,
  type Exec,
  type ExecId,
  type ExecInput,
  type ExecNews,
  type ExecSignal,
  ExecWindow,
  packExecData,
  type TerminalSize,
  unpackExecData,
} from '@autovibe/contract'
import { type CallOptions, type Transport, unreachable } from './transport.ts'

export interface ExecExit {
  /** 128 + its number for a command that a signal ended. */
  readonly exitCode: number
  /** Known without a terminal only. */
  readonly signal: string | null
}

/** The command did not run to its end; `commandExitCode` is 127 for a program that is not there, 126 for one that may not be executed, 125 for all else. */
export class ExecError extends AutovibeError {
  readonly commandExitCode: number

  constructor(error: AutovibeError, commandExitCode: number) {
    super(error.code, error.message, { fix: error.fix, retryable: error.retryable, cause: error })
    this.commandExitCode = commandExitCode
  }
}

export class ExecProcess {
  readonly id: ExecId
  /** Ends standard input when it is closed; without `stdin` in the request it is closed from the beginning. */
  readonly stdin: WritableStream<Uint8Array>
  /** Both must be read, or cancelled: a command whose output nobody takes stands still. They end with the command, for whatever reason. */
  readonly stdout: ReadableStream<Uint8Array>
  readonly stderr: ReadableStream<Uint8Array>
  /** Resolves when the command runs; rejects as `exit` does. */
  readonly started: Promise<void>
  /** Rejects with an ExecError when there is no exit code, or with the reason of the signal. */
  readonly exit: Promise<ExecExit>
  readonly #socket: WebSocket
  readonly #window = new ExecWindow()
  readonly #out: Readonly<Record<'stdout' | 'stderr', Incoming>>
  readonly #settle: { started(): void; exit(exit: ExecExit): void; fail(error: unknown): void }
  #isOver = false

  constructor(id: ExecId, socket: WebSocket, options: { readonly stdin: boolean; readonly signal: AbortSignal | undefined }) {
    const [started, exit] = [Promise.withResolvers<void>(), Promise.withResolvers<ExecExit>()]
    // Whoever looks at one of them hears of it.
    started.promise.catch(() => undefined)
    exit.promise.catch(() => undefined)
    this.id = id
    this.#socket = socket
    this.started = started.promise
    this.exit = exit.promise
    this.#settle = {
      started: started.resolve,
      exit: exit.resolve,
      fail: (error) => {
        started.reject(error)
        exit.reject(error)
      },
    }
    const credit = (stream: 'stdout' | 'stderr') => (bytes: number) => this.#say({ type: 'credit', stream, bytes })
    this.#out = { stdout: new Incoming(credit('stdout')), stderr: new Incoming(credit('stderr')) }
    this.stdout = this.#out.stdout.stream
    this.stderr = this.#out.stderr.stream
    this.stdin = new WritableStream<Uint8Array>(
      { write: (chunk) => this.#write(chunk), close: () => this.#say({ type: 'stdin_end' }), abort: () => this.#say({ type: 'stdin_end' }) },
      { highWaterMark: 1 },
    )
    if (!options.stdin) void this.stdin.close()
    socket.addEventListener('message', ({ data }) => this.#hear(data))
    socket.addEventListener('close', () => this.#fail(brokenOff()))
    options.signal?.addEventListener('abort', () => this.#fail(options.signal?.reason), { once: true })
    if (options.signal?.aborted) this.#fail(options.signal.reason)
  }

  resize({ rows, cols }: TerminalSize): void {
    this.#say({ type: 'resize', rows, cols })
  }

  /** Sends a signal to the command: to what has the terminal, or to its process group where there is none. */
  signal(name: ExecSignal): void {
    this.#say({ type: 'signal', name })
  }

  /** Lets go of the command, which is ended in the machine with all that it started; `why` is what `exit` rejects with. */
  close(why: unknown = brokenOff()): void {
    this.#fail(why)
  }

  async #write(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      await this.#window.untilFree()
      // The command has ended, and nobody reads it any more.
      if (this.#isOver) return
      const part = chunk.subarray(at, at + Math.min(EXEC_LIMITS.dataBytes, this.#window.free))
      this.#window.spend(part.length)
      this.#socket.send(packExecData('stdin', part))
      at += part.length
    }
  }

  #say(words: ExecInput): void {
    if (!this.#isOver) this.#socket.send(JSON.stringify(words))
  }

  #hear(data: unknown): void {
    if (this.#isOver) return
    if (typeof data === 'string') {
      this.#news(JSON.parse(data) as ExecNews)
      return
    }
    const arrived = unpackExecData(new Uint8Array(data as ArrayBuffer))
    // The Hub lets nothing else through.
    if (arrived && arrived.stream !== 'stdin') this.#out[arrived.stream].add(arrived.bytes)
  }

  #news(news: ExecNews): void {
    if (news.type === 'started') this.#settle.started()
    if (news.type === 'credit') this.#window.grant(news.bytes)
    if (news.type === 'exit') {
      this.#settle.exit({ exitCode: news.exit_code, signal: news.signal })
      this.#over()
    }
    if (news.type === 'failed') this.#fail(new ExecError(AutovibeError.fromProblem(news.problem), news.exit_code))
  }

  #fail(error: unknown): void {
    if (this.#isOver) return
    this.#settle.fail(error)
    this.#over()
  }

  #over(): void {
    this.#isOver = true
    this.#window.close()
    for (const incoming of Object.values(this.#out)) incoming.end()
    this.#socket.close(1000)
  }
}

/** One stream from the machine: kept until it is read, and granted again once it was. */
class Incoming {
  readonly stream: ReadableStream<Uint8Array>
  readonly #chunks: Uint8Array[] = []
  #isEnded = false
  #arrived: (() => void) | undefined

  constructor(taken: (bytes: number) => void) {
    let isCancelled = false
    this.stream = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          while (this.#chunks.length === 0 && !this.#isEnded) await new Promise<void>((resolve) => (this.#arrived = resolve))
          const chunk = this.#chunks.shift()
          if (!chunk) return isCancelled ? undefined : controller.close()
          taken(chunk.length)
          if (!isCancelled) controller.enqueue(chunk)
        },
        // What nobody wants is taken all the same, so that the command goes on.
        cancel: () => {
          isCancelled = true
          const drop = (): void => {
            for (const chunk of this.#chunks.splice(0)) taken(chunk.length)
          }
          drop()
          this.add = (bytes) => taken(bytes.length)
        },
      },
      { highWaterMark: 0 },
    )
  }

  add(bytes: Uint8Array): void {
    this.#chunks.push(bytes)
    this.#arrived?.()
  }

  end(): void {
    this.#isEnded = true
    this.#arrived?.()
  }
}

/** Asks for a command and opens its WebSocket. */
export async function startExec(transport: Transport, machine: string, request: Partial<CreateExec>, options: CallOptions = {}): Promise<ExecProcess> {
  const exec = await transport.json<Exec>('POST', `/machines/${encodeURIComponent(machine)}/exec`, { ...options, body: request })
  const socket = transport.socket(`/exec/${exec.id}`, [EXEC_PROTOCOL, `${EXEC_TICKET_PREFIX}${exec.ticket}`])
  socket.binaryType = 'arraybuffer'
  const { signal } = options
  const giveUp = (): void => socket.close()
  signal?.addEventListener('abort', giveUp, { once: true })
  if (signal?.aborted) giveUp()
  try {
    return await new Promise<ExecProcess>((resolve, reject) => {
      // At once, so that no word of the Hub is missed.
      socket.addEventListener('open', () => resolve(new ExecProcess(exec.id, socket, { stdin: request.stdin === true, signal })))
      socket.addEventListener('close', () => reject(signal?.aborted ? signal.reason : unreachable(new URL(socket.url).host, 'no WebSocket')))
    })
  } finally {
    signal?.removeEventListener('abort', giveUp)
  }
}

const brokenOff = (): ExecError =>
  new ExecError(
    new AutovibeError('exec.broken', 'The connection to the command broke before it ended; the command was ended too.', { fix: 'autovibe doctor' }),
    125,
  )
