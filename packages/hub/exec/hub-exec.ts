/** One exec from its client's handshake to its end: the machine is called, both ends are joined, and every wait between has a limit. */
import { AutovibeError, type ExecNews, type ExecOutput, type ExecStart, type ExecStream } from '@autovibe/contract'
import { ExecConversation, type ExecFrame, type Passed } from '@autovibe/core/exec/conversation.ts'
import { refusalOf } from '@autovibe/core/exec/refusals.ts'
import type { Leg } from './leg.ts'
import type { ExecEnd, ExecOrder, ExecRecord } from './record.ts'

export interface ExecTimes {
  /** From the request to the client's WebSocket. */
  readonly connectMs: number
  /** From the client's WebSocket until the command runs. */
  readonly startMs: number
  /** Without a frame from either end. */
  readonly idleMs: number
  readonly totalMs: number
  /** Without an answer of the client to a ping. */
  readonly silentMs: number
  /** For the client to close, once it has been told the end. */
  readonly closeMs: number
}

export const EXEC_TIMES: ExecTimes = {
  connectMs: 30_000,
  startMs: 15_000,
  idleMs: 3_600_000,
  totalMs: 24 * 3_600_000,
  silentMs: 120_000,
  closeMs: 30_000,
}
const PING_EVERY_MS = 15_000

export interface ExecParts {
  readonly times: ExecTimes
  readonly record: ExecRecord
  /** Makes the machine's agent dial. */
  call(): Promise<void>
  warn(fields: object, message: string): void
  /** Once both ends are gone. */
  onOver(): void
}

export class HubExec {
  readonly order: ExecOrder
  readonly #parts: ExecParts
  readonly #conversation: ExecConversation
  readonly #bytes: Record<ExecStream, number> = { stdin: 0, stdout: 0, stderr: 0 }
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #starting: NodeJS.Timeout
  #idle: NodeJS.Timeout | undefined
  #client: Leg | undefined
  #machine: Leg | undefined
  #startedAtMs: number | undefined
  #isTold = false
  #isEnded = false

  constructor(order: ExecOrder, parts: ExecParts) {
    this.order = order
    this.#parts = parts
    this.#conversation = new ExecConversation(order.request)
    this.#starting = this.#after(parts.times.connectMs, () => this.#end('expired'))
  }

  /** A client that waits for its machine. */
  get isCalling(): boolean {
    return this.#client !== undefined && this.#machine === undefined && !this.#isEnded
  }

  get hasClient(): boolean {
    return this.#client !== undefined
  }

  joinClient(client: Leg): void {
    const { times } = this.#parts
    clearTimeout(this.#starting)
    this.#client = client
    // Read once there is somebody who takes it.
    client.pause()
    client.read(
      (frame) => this.#fromClient(frame),
      () => this.#machine,
    )
    client.onClose(() => this.#end('client_gone'))
    this.#watch(client)
    const limit = (what: string, fix: string): AutovibeError => new AutovibeError('exec.limit', `The command ${what}.`, { fix })
    const { name } = this.order.machine
    this.#after(times.startMs, () => {
      if (this.#conversation.phase === 'called')
        this.fail(
          new AutovibeError('exec.unanswered', `The agent of ${name} did not take up the command within ${times.startMs / 1000} s.`, { fix: 'autovibe ps' }),
        )
    })
    this.#after(times.totalMs, () => this.fail(limit(`ran for ${times.totalMs / 3_600_000} h, which is the most`, 'Run it again.')))
    this.#idle = this.#after(times.idleMs, () =>
      this.fail(limit(`neither said nor was told anything for ${times.idleMs / 60_000} min`, 'Run it again, with output now and then.')),
    )
    this.#parts.call().catch((error: unknown) => this.fail(error instanceof AutovibeError ? error : broken(name, error)))
  }

  joinMachine(machine: Leg): void {
    this.#machine = machine
    machine.read(
      (frame) => this.#fromMachine(frame),
      () => this.#client,
    )
    machine.onClose(() => this.fail(broken(this.order.machine.name)))
    machine.send({ type: 'start', ...this.order.request } satisfies ExecStart)
    this.#client?.resume()
  }

  /** Ends the command and tells its client why. */
  fail(error: AutovibeError, exitCode = 125): void {
    if (this.#isEnded) return
    this.#tell({ type: 'failed', problem: error.toProblem(), exit_code: exitCode })
    this.#end(error.code)
  }

  #fromClient(frame: ExecFrame): void {
    if (this.#isEnded) return
    this.#idle?.refresh()
    let passed: Passed<object>
    try {
      passed = this.#conversation.fromClient(frame)
    } catch (error) {
      this.fail(error instanceof AutovibeError ? error : broken(this.order.machine.name, error))
      return
    }
    if (passed.kind === 'data') this.#bytes.stdin += passed.size
    this.#machine?.send(passed.kind === 'data' ? frame.bytes : passed.words)
  }

  #fromMachine(frame: ExecFrame): void {
    if (this.#isEnded) return
    this.#idle?.refresh()
    let passed: Passed<ExecOutput>
    try {
      passed = this.#conversation.fromMachine(frame)
    } catch (err) {
      this.#parts.warn({ err, machine: this.order.machine.id, exec: this.order.id }, 'a machine broke the rules of an exec')
      this.fail(broken(this.order.machine.name, err))
      return
    }
    if (passed.kind === 'data') {
      this.#bytes[passed.stream] += passed.size
      this.#client?.send(frame.bytes)
    } else if (passed.words.type === 'refused') {
      const { error, exitCode } = refusalOf(passed.words, this.order.machine.name)
      this.fail(error, exitCode)
    } else this.#machineSays(passed.words)
  }

  #machineSays(words: Exclude<ExecOutput, { type: 'refused' }>): void {
    if (words.type === 'started') {
      this.#startedAtMs = performance.now()
      this.#parts.record.started(this.order)
    }
    this.#tell(words)
    if (words.type === 'exit') this.#end(null, words)
  }

  #tell(news: ExecNews): void {
    if (news.type === 'exit' || news.type === 'failed') this.#isTold = true
    this.#client?.send(news)
  }

  /** Once: the machine's end is cut, which ends the command there, and the client's is left open for what it has not read yet. */
  #end(reason: string | null, exit: Pick<ExecEnd, 'exit_code' | 'signal'> = { exit_code: null, signal: null }): void {
    if (this.#isEnded) return
    this.#isEnded = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    this.#machine?.cut()
    const { stdin, stdout, stderr } = this.#bytes
    const duration_ms = this.#startedAtMs === undefined ? 0 : Math.round(performance.now() - this.#startedAtMs)
    const { exit_code, signal } = exit
    this.#parts.record.ended(this.order, { exit_code, signal, reason, duration_ms, stdin_bytes: stdin, stdout_bytes: stdout, stderr_bytes: stderr })
    if (!this.#isTold || !this.#client) {
      this.#client?.cut()
      this.#parts.onOver()
      return
    }
    const patience = setTimeout(() => this.#client?.cut(), this.#parts.times.closeMs)
    this.#client.resume()
    this.#client.onClose(() => {
      clearTimeout(patience)
      this.#parts.onOver()
    })
  }

  /** The Hub goes: nobody is waited for. */
  cut(): void {
    this.fail(new AutovibeError('exec.broken', 'The Hub ended.', { fix: 'autovibe up' }))
    this.#after(1_000, () => this.#client?.cut()).unref()
  }

  /** A client whose connection leads nowhere is no client. */
  #watch(client: Leg): void {
    let heardMs = performance.now()
    client.onPong(() => {
      heardMs = performance.now()
    })
    const timer = setInterval(() => {
      if (client.isPaused) heardMs = performance.now()
      else if (performance.now() - heardMs > this.#parts.times.silentMs) client.cut()
      else client.ping()
    }, PING_EVERY_MS)
    timer.unref()
    client.onClose(() => clearInterval(timer))
  }

  #after(ms: number, then: () => void): NodeJS.Timeout {
    const timer = setTimeout(then, ms)
    this.#timers.add(timer)
    return timer
  }
}

const broken = (machine: string, cause?: unknown): AutovibeError =>
  new AutovibeError('exec.broken', `The machine ${machine} let go of the command before it ended.`, { fix: 'autovibe ps', cause })
