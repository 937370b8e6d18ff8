/** One guest as processes in a sandbox: started behind its network, looked into, held, and ended whole. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { descendants, listProcesses, type Process, readProcess, signalProcess } from '../../packages/hub/substrates/local/processes.ts'
import { continueAll, stopMoving } from '../../packages/hub/substrates/local/stopping.ts'

const STILL_WITHIN_MS = 10_000
/** Says over descriptor 5 that the command is about to run, with everything in place. */
const ANNOUNCE = 'echo up >&5; exec 5>&-; exec "$@"'

export interface Start {
  readonly bubblewrap: readonly string[]
  readonly command: readonly string[]
  /** Called with the pid of the sandbox's first process while nothing runs in it yet. */
  readonly prepare: (pid: number) => Promise<void>
  /** An open file for what the command says. */
  readonly console: number
  readonly isRoot: boolean
}

export class Sandbox {
  /** Settles when every process of it is gone. */
  readonly ended: Promise<void>
  /** The first process of its pid namespace: with it, all end. */
  readonly #init: Process
  readonly #command: Process
  readonly #isRoot: boolean
  readonly #entered = new Set<ChildProcess>()
  #held = new Map<number, Process>()

  private constructor(ended: Promise<unknown>, init: Process, command: Process, isRoot: boolean) {
    this.#init = init
    this.#command = command
    this.#isRoot = isRoot
    this.ended = ended.then(() => undefined)
  }

  static async start({ bubblewrap, command, prepare, console, isRoot }: Start): Promise<Sandbox> {
    const monitor = spawn('bwrap', [...bubblewrap, '/bin/sh', '-c', ANNOUNCE, 'sh', ...command], {
      stdio: ['ignore', console, console, 'pipe', 'pipe', 'pipe'],
      env: {},
      cwd: '/',
    })
    const ended = once(monitor, 'close')
    const failed = ended.then(([code]) => {
      throw new Error(`bwrap ended with ${code} before the guest was up; its console says why`)
    })
    failed.catch(() => undefined)
    try {
      const [told, hold, announced] = monitor.stdio.slice(3) as unknown as [Readable, Writable, Readable]
      const info = await Promise.race([text(told), failed])
      const pid = (JSON.parse(info) as { readonly 'child-pid': number })['child-pid']
      await prepare(pid)
      hold.on('error', () => undefined).end('x')
      if ((await Promise.race([text(announced), failed])) !== 'up\n') await failed
      const init = readProcess(pid)
      const first = descendants(pid).find((each) => each.parent === pid)
      // A command may end as soon as it has begun.
      if (!init || !first) return new Sandbox(ended, gone(pid), gone(pid), isRoot)
      return new Sandbox(ended, init, first, isRoot)
    } catch (error) {
      monitor.kill('SIGKILL')
      await ended.catch(() => undefined)
      throw error
    }
  }

  /** Asks the command to end. */
  ask(): void {
    signalProcess(this.#command, 'SIGTERM')
  }

  async kill(): Promise<void> {
    const all = listProcesses()
    const led = [...this.#entered].flatMap(({ pid = 0 }) => descendants(pid, all))
    for (const each of [...led, this.#init]) signalProcess(each, 'SIGKILL')
    // A namespace ends when all in it have been waited for: whoever leads in does that, unless it is stopped.
    for (const child of this.#entered) child.kill('SIGCONT')
    await this.ended
  }

  /** Everything that runs inside, and first whoever leads in from outside. */
  processes(all: readonly Process[] = listProcesses()): Process[] {
    const entered = new Set([...this.#entered].filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null).map(({ pid }) => pid))
    const leading = all.filter((each) => entered.has(each.pid))
    const first = all.filter((each) => each.pid === this.#init.pid && each.startTicks === this.#init.startTicks)
    const found = [...leading, ...first].flatMap((each) => [each, ...descendants(each.pid, all)])
    return [...new Map(found.map((each) => [each.pid, each])).values()]
  }

  /** Stops all of it, and answers when nothing moves any more; what had stopped by itself stays so when it goes on. What cannot be stopped goes on as a whole. */
  async hold(): Promise<void> {
    for (const until = performance.now() + STILL_WITHIN_MS; stopMoving(this.processes(), this.#held).length > 0; await delay(1))
      if (performance.now() > until) {
        this.letGo()
        throw new Error('the guest could not be stopped')
      }
  }

  /** Whoever leads in goes on last: nsenter stops itself when it sees that what it runs has stopped. */
  letGo(): void {
    continueAll(this.#held)
    this.#held = new Map()
  }

  /** Starts a command inside, as its root. */
  enter(command: readonly string[], env: readonly string[] = []): ChildProcess {
    const user = this.#isRoot ? [] : ['--user', '--preserve-credentials']
    const spaces = [...user, '--mount', '--uts', '--ipc', '--net', '--pid']
    const child = spawn('nsenter', ['--target', String(this.#init.pid), ...spaces, '--', '/usr/bin/env', '-i', ...ENVIRONMENT, ...env, ...command], {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: '/',
    })
    this.#entered.add(child)
    child.once('close', () => this.#entered.delete(child))
    // It may end without reading its input.
    child.stdin.on('error', () => undefined)
    return child
  }
}

const ENVIRONMENT = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root']

const gone = (pid: number): Process => ({ pid, parent: 0, state: 'X', startTicks: '', cpuTicks: 0, threads: 0 })

async function text(stream: Readable): Promise<string> {
  let said = ''
  for await (const chunk of stream) said += String(chunk)
  return said
}
