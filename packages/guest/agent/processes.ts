/** Processes as /proc shows them: who belongs to the agent, what they used, and how they are ended. */
import { readdirSync, readFileSync } from 'node:fs'

export interface Process {
  readonly pid: number
  readonly parent: number
  readonly state: string
  /** Clock ticks after boot; with the pid, the identity of a process. */
  readonly startTicks: string
  readonly cpuSeconds: number
}

/** Linux shows times in units of 1/100 s on every architecture that Node runs on (USER_HZ). */
const TICKS_PER_SECOND = 100
const PAGE_BYTES = 4096

/** Null when there is no such process. */
export function readProcess(pid: number): Process | null {
  const text = readOrNull(`/proc/${pid}/stat`)
  if (text === null) return null
  // The command's name may itself hold spaces and brackets.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  if (fields.length < 22) return null
  const number = (index: number): number => Number(fields[index] ?? 0)
  const cpuTicks = number(11) + number(12) + number(13) + number(14)
  return { pid, state: fields[0] ?? 'X', parent: number(1), cpuSeconds: cpuTicks / TICKS_PER_SECOND, startTicks: fields[19] ?? '' }
}

const isAlive = ({ state }: Process): boolean => state !== 'Z' && state !== 'X'

/** Every process that lives. */
export function listProcesses(): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readProcess(Number(name)))
    .filter((process) => process !== null)
    .filter(isAlive)
}

/** What says, beside its parents, that a process is the agent's. */
export interface Marks {
  /** What its environment held when it began, unless it was begun with another. */
  readonly mark: string
  /** Nobody else's processes run as this user; null where the agent is not alone. */
  readonly uid: number | null
}

/** Those that descend from `root`, bear the mark, run as the agent's user, or descend from any of these; itself among them, never this process. */
export function familyOf(root: number | null, { mark, uid }: Marks): Process[] {
  const all = listProcesses().filter(({ pid }) => pid !== process.pid)
  const family = new Set(all.filter(({ pid }) => pid === root || isMarked(pid, mark) || (uid !== null && runsAs(pid, uid))).map(({ pid }) => pid))
  // Parents come before children only mostly, for numbers begin anew; each round finds at least one.
  for (let size = -1; size !== family.size; ) {
    size = family.size
    for (const { pid, parent } of all) if (family.has(parent)) family.add(pid)
  }
  return all.filter(({ pid }) => family.has(pid))
}

function isMarked(pid: number, mark: string): boolean {
  return (readOrNull(`/proc/${pid}/environ`) ?? '').split('\0').includes(mark)
}

function runsAs(pid: number, uid: number): boolean {
  return (/^Uid:\s+(.*)$/m.exec(readOrNull(`/proc/${pid}/status`) ?? '')?.[1] ?? '').split(/\s+/).includes(String(uid))
}

/** What is resident and not a file's: programs and libraries are shared with everyone (proc_pid_statm(5)). */
export function ownBytes(pid: number): number {
  const [, resident = '0', shared = '0'] = (readOrNull(`/proc/${pid}/statm`) ?? '').split(' ')
  return Math.max(0, Number(resident) - Number(shared)) * PAGE_BYTES
}

/** One that has ended, and whose number may belong to another, is left alone. */
export function endProcess(target: Process): void {
  if (readProcess(target.pid)?.startTicks !== target.startTicks) return
  try {
    process.kill(target.pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // It ended between two looks, or is another user's.
    return null
  }
}
