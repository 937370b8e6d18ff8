/** Proxmox's workers: a UPID at once, the work afterwards, a log whose last line is how it ended. */
import { textOf } from './answers.ts'
import type { Clock } from './clock.ts'

/** What a task's work may do beside its work. */
export interface Worker {
  print(line: string): void
  /** A warning that counts: the task ends with `WARNINGS: n`. */
  warn(line: string): void
  /** Time that the work takes; ends early, and badly, when the task is stopped or its node is gone. */
  takes(seconds: number): Promise<void>
}

/** The process is gone, and with it whatever it would have cleaned up. Work that throws it exits without a last word. */
export class Vanished extends Error {}

export interface Task {
  readonly upid: string
  readonly node: string
  readonly pid: number
  readonly pstart: number
  readonly starttime: number
  readonly type: string
  readonly id: string
  readonly user: string
  readonly log: string[]
  /** Null while it runs, or when it ended without saying how. */
  exitstatus: string | null
  endtime: number | null
  running: boolean
  /** Its log is gone as well. */
  forgotten: boolean
}

/** What a test makes of a task: an end that is not its own, before, amid or after its effect. */
export interface TaskFate {
  readonly exit?: string
  readonly vanishes?: 'with its log' | 'with its log left'
  readonly when: 'before' | 'halfway' | 'after'
}

interface Live {
  readonly task: Task
  interrupted: boolean
  vanished: boolean
  wake: () => void
}

export class Tasks {
  readonly #tasks = new Map<string, Task>()
  readonly #live = new Map<string, Live>()
  readonly #running = new Set<Promise<void>>()
  readonly #clock: Clock
  #nextPid = 1200

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get all(): Task[] {
    return [...this.#tasks.values()]
  }

  find(upid: string): Task | undefined {
    return this.#tasks.get(upid)
  }

  /** Answers the UPID; the work begins after the answer could leave. */
  start(task: { node: string; type: string; id: string; user: string }, work: (worker: Worker) => Promise<void>, fate?: TaskFate): string {
    const starttime = Math.floor(this.#clock.now())
    this.#nextPid += 7
    const made = { ...task, pid: this.#nextPid, pstart: this.#nextPid * 31, starttime }
    const upid = upidOf(made)
    const entry: Task = { ...made, upid, log: [], exitstatus: null, endtime: null, running: true, forgotten: false }
    this.#tasks.set(upid, entry)
    const live: Live = { task: entry, interrupted: false, vanished: false, wake: () => undefined }
    this.#live.set(upid, live)
    const run = new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#run(live, work, fate))
    this.#running.add(run)
    void run.finally(() => this.#running.delete(run))
    return upid
  }

  /** As SIGTERM to the worker. */
  stop(upid: string): void {
    const live = this.#live.get(upid)
    if (!live) return
    live.interrupted = true
    live.wake()
  }

  /** Every task of a node loses its process. */
  crash(node: string): void {
    for (const live of this.#live.values()) if (live.task.node === node) this.#vanish(live, false)
  }

  /** Resolves when nothing runs any more. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all([...this.#running])
  }

  async #run(live: Live, work: (worker: Worker) => Promise<void>, fate: TaskFate | undefined): Promise<void> {
    const { task } = live
    let warnings = 0
    const worker: Worker = {
      print: (line) => void (live.vanished || task.log.push(line)),
      warn: (line) => {
        warnings += 1
        if (!live.vanished) task.log.push(`WARN: ${line}`)
      },
      takes: async (seconds) => {
        if (fate?.when === 'halfway') this.#meets(live, fate)
        await this.#takes(live, seconds)
      },
    }
    try {
      if (fate?.when === 'before') this.#meets(live, fate)
      await work(worker)
      if (fate?.when === 'after') this.#meets(live, fate)
      this.#end(live, warnings > 0 ? `WARNINGS: ${warnings}` : 'OK')
    } catch (error) {
      if (!(error instanceof Vanished)) this.#end(live, textOf(error).trimEnd().replaceAll('\n', ' '))
      else if (!live.vanished) this.#vanish(live, false)
    }
  }

  #meets(live: Live, fate: TaskFate): void {
    if (fate.vanishes) {
      this.#vanish(live, fate.vanishes === 'with its log')
      throw new Vanished()
    }
    if (fate.exit !== undefined) throw new Error(fate.exit)
  }

  #end(live: Live, exitstatus: string): void {
    if (live.vanished) return
    live.task.log.push(/^(OK|WARNINGS: \d+)$/.test(exitstatus) ? `TASK ${exitstatus}` : `TASK ERROR: ${exitstatus}`)
    live.task.exitstatus = exitstatus
    this.#close(live)
  }

  #vanish(live: Live, withLog: boolean): void {
    live.vanished = true
    live.task.forgotten = withLog
    live.task.exitstatus = 'unexpected status'
    this.#close(live)
    live.wake()
  }

  #close(live: Live): void {
    live.task.running = false
    live.task.endtime = Math.floor(this.#clock.now())
    this.#live.delete(live.task.upid)
  }

  async #takes(live: Live, seconds: number): Promise<void> {
    if (!live.interrupted && !live.vanished) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.#clock.ms(seconds))
        live.wake = () => (clearTimeout(timer), resolve())
      })
    }
    if (live.vanished) throw new Vanished()
    if (live.interrupted) throw new Error('received interrupt')
  }
}

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0')

function upidOf(task: { node: string; pid: number; pstart: number; starttime: number; type: string; id: string; user: string }): string {
  return `UPID:${task.node}:${hex(task.pid)}:${hex(task.pstart)}:${hex(task.starttime)}:${task.type}:${task.id}:${task.user}:`
}

export const isUpid = (text: string): boolean =>
  /^UPID:[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:[^:\s/]+:[^:\s/]*:[^:\s/]+:$/.test(text)
