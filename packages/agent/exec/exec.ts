/** One command of a person: dialled, started, its streams carried with the flow that the other side grants, and ended with the connection. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { EXEC_LIMITS, ExecInput, type ExecOutput, ExecStart, ExecWindow, packExecData, unpackExecData } from '@autovibe/contract'
import type { RawData, WebSocket } from 'ws'
import type { Paths } from '../adapters/adapter.ts'
import { enlist, killFamily, send as sendSignal, signalFamily } from '../process/family.ts'
import { type Launch, launchOf, refusalOf } from './launch.ts'
import { foregroundGroup, keepGoing, Resizer } from './terminal.ts'

/** What a command has between being told that its person is gone and its end. */
const GRACE_MS = 2_000
/** A process that has left the family may hold a pipe for good; what comes from it so long after the command's end is no longer waited for. */
const PIPES_CLOSE_MS = 1_000

/** Resolves when the command has ended and the connection is closed. */
export async function runExec(socket: WebSocket, paths: Paths): Promise<void> {
  // Whatever broke, `close` follows.
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  let trouble: Error | undefined
  socket.on('error', (error) => {
    trouble = error
  })
  const say = (what: ExecOutput): void => socket.send(JSON.stringify(what), { binary: false })
  let running: Running | undefined
  const hear = (bytes: Buffer<ArrayBuffer>, isBinary: boolean): void => {
    if (running) running.hear(bytes, isBinary)
    else running = new Running(ExecStart.parse(JSON.parse(bytes.toString('utf8'))), paths, socket, say)
  }
  socket.on('message', (data: RawData, isBinary: boolean) => {
    try {
      hear(data as Buffer<ArrayBuffer>, isBinary)
    } catch (error) {
      trouble = asError(error)
      socket.terminate()
    }
  })
  await closed
  await running?.hangUp()
  if (trouble) throw trouble
}

const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)))

class Running {
  readonly #start: ExecStart
  readonly #socket: WebSocket
  readonly #say: (what: ExecOutput) => void
  readonly #mark = randomBytes(12).toString('hex')
  readonly #windows = { stdout: new ExecWindow(), stderr: new ExecWindow() }
  readonly #ended: Promise<void>
  #child: ChildProcess | undefined
  #resizer: Resizer | undefined
  #isGone = false

  constructor(start: ExecStart, paths: Paths, socket: WebSocket, say: (what: ExecOutput) => void) {
    this.#start = start
    this.#socket = socket
    this.#say = say
    const launch = launchOf(start, paths, this.#mark)
    this.#ended = 'type' in launch ? Promise.resolve(say(launch)) : this.#run(launch)
    // The connection ends with it; hangUp rejects with the same.
    this.#ended.catch(() => socket.terminate())
  }

  hear(bytes: Buffer<ArrayBuffer>, isBinary: boolean): void {
    if (isBinary) {
      this.#take(unpackExecData(bytes)?.bytes ?? Buffer.alloc(0))
      return
    }
    const words = ExecInput.parse(JSON.parse(bytes.toString('utf8')))
    if (words.type === 'stdin_end') this.#child?.stdin?.end()
    if (words.type === 'resize') this.#resizer?.resize(words)
    if (words.type === 'signal') this.#signal(words.name)
    if (words.type === 'credit') this.#windows[words.stream].grant(words.bytes)
  }

  /** The person is gone: the command is told so, and then ended with all that it started. */
  async hangUp(): Promise<void> {
    this.#isGone = true
    for (const window of Object.values(this.#windows)) window.close()
    const pid = this.#child?.pid
    if (pid !== undefined && this.#child?.exitCode === null && this.#child.signalCode === null) {
      signalFamily(pid, this.#mark, 'SIGHUP')
      const last = setTimeout(() => killFamily(pid, this.#mark), GRACE_MS)
      await once(this.#child, 'exit')
      clearTimeout(last)
    }
    await this.#ended
  }

  async #run(launch: Launch): Promise<void> {
    const { tty, stdin } = this.#start
    // A terminal whose input ends at once would tell its command that there is nothing to come.
    const child = spawn(launch.program, launch.args, {
      cwd: launch.cwd,
      env: launch.env,
      stdio: [tty || stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
      detached: true,
    })
    this.#child = child
    // It may end, or close its input, before it has read all.
    child.stdin?.on('error', () => undefined)
    try {
      await once(child, 'spawn')
    } catch (error) {
      return this.#say(refusalOf(error as NodeJS.ErrnoException, launch))
    }
    const pid = child.pid as number
    const discharge = enlist(pid, this.#mark, true)
    if (tty) this.#resizer = new Resizer(pid, launch.env['PATH'] ?? '')
    const rest = tty ? keepGoing(pid) : () => undefined
    this.#say({ type: 'started' })
    const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
      child.once('exit', (code, signal) => resolve({ code, signal })),
    )
    const pumped = [this.#pump(child.stdout as Readable, 'stdout'), this.#pump(child.stderr as Readable, tty ? 'stdout' : 'stderr')]
    const { code, signal } = await exited
    killFamily(pid, this.#mark)
    discharge()
    rest()
    await Promise.all(pumped.map((pump) => pump.finish()))
    if (!this.#isGone) this.#say({ type: 'exit', exit_code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]), signal })
  }

  /** Sends what the command says as far as it is granted; a command of which nothing is read stands still at its full pipe. */
  #pump(stream: Readable, name: 'stdout' | 'stderr'): { finish(): Promise<void> } {
    const window = this.#windows[name]
    let isWaiting = false
    let movedMs = performance.now()
    const pumping = (async () => {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        for (let at = 0; at < chunk.length && !this.#isGone; ) {
          isWaiting = true
          await window.untilFree()
          isWaiting = false
          movedMs = performance.now()
          const part = chunk.subarray(at, at + Math.min(EXEC_LIMITS.dataBytes, window.free))
          if (part.length === 0) break
          window.spend(part.length)
          this.#socket.send(packExecData(name, part), { binary: true })
          at += part.length
        }
        movedMs = performance.now()
      }
    })().catch((error: unknown) => {
      // Its pipe was taken away below.
      if (!stream.destroyed) throw error
    })
    return {
      finish: async () => {
        const timer = setInterval(() => {
          if (this.#isGone || (!isWaiting && performance.now() - movedMs > PIPES_CLOSE_MS)) stream.destroy()
        }, PIPES_CLOSE_MS / 4)
        await pumping
        clearInterval(timer)
      },
    }
  }

  #take(bytes: Uint8Array): void {
    const stdin = this.#child?.stdin
    const taken = (): void => {
      if (!this.#isGone && bytes.length > 0) this.#say({ type: 'credit', stream: 'stdin', bytes: bytes.length })
    }
    // What a command does not want to read is taken all the same, so that nobody waits for it.
    if (stdin?.writable) stdin.write(bytes, taken)
    else taken()
  }

  #signal(name: NodeJS.Signals): void {
    const pid = this.#child?.pid
    if (pid === undefined || this.#child?.exitCode !== null || this.#child.signalCode !== null) return
    const group = this.#start.tty ? foregroundGroup(pid) : pid
    if (group !== undefined) sendSignal(-group, name)
  }
}
