/** What the files of a control group say and take, for both versions: names, units, and the odd values among them. */
import type { MachineLimits } from '@autovibe/contract'
import type { Controller } from './cgroup-places.ts'

export type Version = 'v1' | 'v2'

/** One value for one file, in the order in which they are written. */
export interface Setting {
  readonly controller: Controller
  readonly file: string
  readonly value: string
  /** A kernel may be built without it. */
  readonly optional: boolean
}

export interface Counted {
  readonly cpuSeconds: number | null
  readonly memoryBytes: number | null
  readonly peakMemoryBytes: number | null
  readonly oomKills: number | null
  readonly processes: number | null
  readonly processesRefused: number | null
}

/** The period of a quota in µs, and the least quota that the kernel takes. */
const PERIOD_US = 100_000
const LEAST_QUOTA_US = 1_000

/** Swap is held with the memory, for a machine in swap slows down all others. */
export function settingsFor(version: Version, { memory_bytes, cores, processes }: Pick<MachineLimits, 'memory_bytes' | 'cores' | 'processes'>): Setting[] {
  const quota = Math.max(LEAST_QUOTA_US, Math.round(cores * PERIOD_US))
  const set = (controller: Controller, file: string, value: number | string, optional = false): Setting => ({
    controller,
    file,
    value: String(value),
    optional,
  })
  if (version === 'v2')
    return [
      set('memory', 'memory.swap.max', 0, true),
      set('memory', 'memory.max', memory_bytes),
      set('cpu', 'cpu.max', `${quota} ${PERIOD_US}`),
      set('pids', 'pids.max', processes),
    ]
  return [
    // Memory with swap is never less than memory alone: of two values that grow the second must go first, and of two that shrink the first.
    set('memory', 'memory.memsw.limit_in_bytes', memory_bytes, true),
    set('memory', 'memory.limit_in_bytes', memory_bytes),
    set('memory', 'memory.memsw.limit_in_bytes', memory_bytes, true),
    set('cpu', 'cpu.cfs_period_us', PERIOD_US),
    set('cpu', 'cpu.cfs_quota_us', quota),
    set('pids', 'pids.max', processes),
  ]
}

/** `read` gives a file's text, or null when there is none. */
export function countedIn(version: Version, read: (controller: Controller, file: string) => string | null): Counted {
  const number = (controller: Controller, file: string): number | null => numberOf(read(controller, file))
  const field = (controller: Controller, file: string, name: string): number | null => fieldOf(read(controller, file), name)
  // Not `pids.current`, which counts threads, and the dead for whom nobody has asked yet: there may be no one who does in a container.
  const living = linesOf(read('pids', 'cgroup.procs'))
  if (version === 'v2')
    return {
      cpuSeconds: scaled(field('cpu', 'cpu.stat', 'usage_usec'), 1e6),
      memoryBytes: number('memory', 'memory.current'),
      peakMemoryBytes: number('memory', 'memory.peak'),
      oomKills: field('memory', 'memory.events', 'oom_kill'),
      processes: living,
      processesRefused: field('pids', 'pids.events', 'max'),
    }
  return {
    cpuSeconds: scaled(number('cpuacct', 'cpuacct.usage'), 1e9),
    memoryBytes: number('memory', 'memory.usage_in_bytes'),
    peakMemoryBytes: number('memory', 'memory.max_usage_in_bytes'),
    oomKills: field('memory', 'memory.oom_control', 'oom_kill'),
    processes: living,
    processesRefused: field('pids', 'pids.events', 'max'),
  }
}

const linesOf = (text: string | null): number | null => (text === null ? null : text.split('\n').filter((line) => line !== '').length)

/** The value behind a name in a file of lines `name value`. */
export function fieldOf(text: string | null, name: string): number | null {
  const line = text?.split('\n').find((candidate) => candidate.startsWith(`${name} `))
  return line === undefined ? null : numberOf(line.slice(name.length + 1))
}

/** Null for what is no number, as `max`. */
function numberOf(text: string | null): number | null {
  const trimmed = text?.trim() ?? ''
  return /^\d+$/.test(trimmed) ? Number(trimmed) : null
}

const scaled = (value: number | null, per: number): number | null => (value === null ? null : value / per)
