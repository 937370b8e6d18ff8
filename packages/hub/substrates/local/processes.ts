/** The host's processes as /proc shows them: who belongs to which machine, what they used, and how they are stopped, continued and ended. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { AutovibeError } from '@autovibe/contract'

export interface Process {
  readonly pid: number
  readonly parent: number
  readonly state: string
  /** Clock ticks after boot; with the pid, the identity of a process. */
  readonly startTicks: string
  readonly cpuTicks: number
  readonly threads: number
}

export const isAlive = (process: Process): boolean => process.state !== 'Z' && process.state !== 'X'

/** Null when there is no such process. */
export function readProcess(pid: number): Process | null {
  const text = readOrNull(`/proc/${pid}/stat`)
  if (text === null) return null
  return parseStat(text)
}

/** Reads the line of /proc/PID/stat; the command's name may itself hold spaces and brackets. */
export function parseStat(text: string): Process | null {
  const pid = Number.parseInt(text, 10)
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  if (!Number.isSafeInteger(pid) || pid <= 0 || fields.length < 22) return null
  const number = (index: number): number => Number(fields[index] ?? 0)
  return {
    pid,
    state: fields[0] ?? 'X',
    parent: number(1),
    // Own time and that of children already waited for: a sandbox's first process reaps all orphans, so little is lost.
    cpuTicks: number(11) + number(12) + number(13) + number(14),
    startTicks: fields[19] ?? '',
    threads: number(17),
  }
}

/** Every process of the host that lives. */
export function listProcesses(): Process[] {
  const found: Process[] = []
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid)) continue
    const process = readProcess(pid)
    if (process !== null && isAlive(process)) found.push(process)
  }
  return found
}

/** A list that several looks within the same moment share: for many machines the walk is made once. */
export function processSnapshot(): readonly Process[] {
  const now = performance.now()
  if (now - snapshot.atMs > SNAPSHOT_MS) snapshot = { atMs: now, processes: listProcesses() }
  return snapshot.processes
}

const SNAPSHOT_MS = 200
let snapshot: { readonly atMs: number; readonly processes: readonly Process[] } = { atMs: Number.NEGATIVE_INFINITY, processes: [] }

/** All that descend from this process, itself left out; parents before children. */
export function descendants(of: number, all: readonly Process[] = listProcesses()): Process[] {
  const children = new Map<number, Process[]>()
  for (const process of all) {
    const siblings = children.get(process.parent)
    if (siblings === undefined) children.set(process.parent, [process])
    else siblings.push(process)
  }
  const found: Process[] = []
  const queue = [of]
  for (let at = 0; at < queue.length; at++) {
    for (const child of children.get(queue[at] ?? 0) ?? []) {
      found.push(child)
      queue.push(child.pid)
    }
  }
  return found
}

/** The numbers of those that descend from this process now: by the kernel's lists of children where it keeps them (proc_pid_children(5)), which takes no look at all others. */
export function descendantPids(of: number): number[] {
  if (!existsSync(`/proc/${of}/task/${of}/children`)) return descendants(of).map(({ pid }) => pid)
  const found: number[] = []
  const queue = [of]
  for (let at = 0; at < queue.length; at++) {
    const children = tasksOf(queue[at] ?? 0).flatMap((task) => (readOrNull(task) ?? '').split(' ').filter((word) => word !== ''))
    found.push(...children.map(Number))
    queue.push(...children.map(Number))
  }
  return found
}

function tasksOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((task) => `/proc/${pid}/task/${task}/children`)
  } catch {
    // It ended meanwhile.
    return []
  }
}

const sameProcess = (process: Process): boolean => {
  const now = readProcess(process.pid)
  return now !== null && now.startTicks === process.startTicks && isAlive(now)
}

/** Sends a signal to exactly this process; one that has ended, and whose number may belong to another, gets none. */
export function signalProcess(target: Process, signal: NodeJS.Signals): void {
  if (!sameProcess(target)) return
  try {
    process.kill(target.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Ends what `find` answers, again and again until it answers nothing. Throws `substrate.failed` when something is left after the deadline. */
export async function endAll(find: () => Promise<readonly Process[]>, deadlineMs: number): Promise<void> {
  const until = performance.now() + deadlineMs
  for (;;) {
    // Looking for them takes a look at every process of the host; whether those that were found have ended does not.
    let left = (await find()).filter(sameProcess)
    if (left.length === 0) return
    for (let waitMs = 1; left.length > 0; waitMs = Math.min(waitMs * 2, 10)) {
      if (performance.now() > until)
        throw new AutovibeError('substrate.failed', `${left.length} processes of the machine could not be ended.`, {
          retryable: true,
          internal: left.map((one) => one.pid).join(' '),
        })
      for (const one of left) signalProcess(one, 'SIGKILL')
      await delay(waitMs)
      left = left.filter(sameProcess)
    }
  }
}

/** True when the process stands in the file system with this device number, or has something of it open. */
export function holdsDevice(pid: number, device: number): boolean {
  const on = (link: string): boolean => {
    try {
      return statSync(`/proc/${pid}/${link}`).dev === device
    } catch {
      return false
    }
  }
  if (on('cwd') || on('root')) return true
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => on(`fd/${fd}`))
  } catch {
    return false
  }
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // The process ended between two looks, or is another user's and so none of ours.
    return null
  }
}
