/** Whether a machine has reached a limit: what it may take, what was seen, and what a person is told. */
import type { MachineLimits } from '@autovibe/contract'
import { bytesInWords, secondsInWords } from './words.ts'

export interface Figure {
  readonly value: number
  readonly quality: 'measured' | 'estimated'
}

export interface Taken {
  readonly peakMemoryBytes: Figure
  readonly processes: Figure
  readonly diskBytes: Figure | null
  /** How often the kernel has ended a process for memory, or refused another one; null where it does not count. */
  readonly refused: { readonly memory: number | null; readonly processes: number | null }
  /** How long the run under way has been at work; null without one. */
  readonly workedSeconds: number | null
}

export interface Verdict {
  readonly limit: 'memory' | 'processes' | 'disk' | 'wall' | 'host-disk'
  readonly used: number
  readonly allowed: number
  readonly quality: Figure['quality']
  readonly sentence: string
  /** What a person does about it, as a sentence with the command. */
  readonly fix: string
}

/** The first limit that is reached, or null. Memory counts as reached when the kernel had to end a process: up to there it only gives back what it can spare. */
export function judge(machine: string, limits: MachineLimits, taken: Taken): Verdict | null {
  return ofMemory(machine, limits, taken) ?? ofProcesses(machine, limits, taken) ?? ofDisk(machine, limits, taken) ?? ofWall(machine, limits, taken)
}

function ofMemory(machine: string, { memory_bytes: allowed }: MachineLimits, { peakMemoryBytes: peak, refused }: Taken): Verdict | null {
  const isReached = refused.memory === null ? peak.value > allowed : refused.memory > 0
  if (!isReached) return null
  const how = refused.memory === null ? `about ${bytesInWords(peak.value)} in use` : 'out-of-memory kill'
  return {
    limit: 'memory',
    used: refused.memory === null ? peak.value : allowed,
    allowed,
    quality: refused.memory === null ? 'estimated' : 'measured',
    sentence: `memory: ${bytesInWords(allowed)} limit reached (${how})`,
    fix: raise(machine, `--memory ${doubled(allowed)}`),
  }
}

function ofProcesses(machine: string, { processes: allowed }: MachineLimits, { processes, refused }: Taken): Verdict | null {
  const isReached = refused.processes === null ? processes.value >= allowed : refused.processes > 0
  if (!isReached) return null
  const how = refused.processes === null ? `${processes.value} counted` : 'another one was refused'
  return {
    limit: 'processes',
    used: refused.processes === null ? processes.value : allowed,
    allowed,
    quality: refused.processes === null ? 'estimated' : 'measured',
    sentence: `processes: limit of ${allowed} reached (${how})`,
    fix: raise(machine, `--processes ${allowed * 2}`),
  }
}

function ofDisk(machine: string, { disk_bytes: allowed }: MachineLimits, { diskBytes }: Taken): Verdict | null {
  if (diskBytes === null || diskBytes.value < allowed) return null
  return {
    limit: 'disk',
    used: diskBytes.value,
    allowed,
    quality: diskBytes.quality,
    sentence: `disk: ${bytesInWords(allowed)} limit reached (${bytesInWords(diskBytes.value)} in use)`,
    fix: raise(machine, `--disk ${doubled(Math.max(allowed, diskBytes.value))}`),
  }
}

function ofWall(machine: string, { wall_seconds: allowed }: MachineLimits, { workedSeconds: used }: Taken): Verdict | null {
  if (used === null || used < allowed) return null
  return {
    limit: 'wall',
    used,
    allowed,
    quality: 'measured',
    sentence: `wall time: ${secondsInWords(allowed)} limit reached (at work for ${secondsInWords(used)})`,
    fix: raise(machine, `--wall ${Math.ceil(allowed / 30)}min`),
  }
}

export interface Room {
  readonly freeBytes: number
  readonly totalBytes: number
  /** Files that may still be made; null where the file system has no limit of them. */
  readonly freeFiles: number | null
}

export interface Growth {
  readonly machine: string
  readonly grownBytes: number
}

const GIB = 1024 ** 3
const FREE_FILES_MIN = 10_000

/** Below this the Hub's own database would soon have no room: a hundredth of the disk, but at most 1 GiB. */
export const floorOf = ({ totalBytes }: Pick<Room, 'totalBytes'>): number => Math.min(GIB, Math.floor(totalBytes / 100))

/** Of machines on a disk that runs full, the one to stop first: that which grew most since the last look, if any grew. */
export function judgeRoom<M extends Growth>(room: Room, machines: readonly M[]): { readonly machine: M; readonly verdict: Verdict } | null {
  const allowed = floorOf(room)
  const isFull = room.freeBytes < allowed || (room.freeFiles !== null && room.freeFiles < FREE_FILES_MIN)
  const [most] = isFull ? machines.filter(({ grownBytes }) => grownBytes > 0).toSorted((a, b) => b.grownBytes - a.grownBytes) : []
  if (most === undefined) return null
  const left = room.freeBytes < allowed ? `${bytesInWords(room.freeBytes)} are` : `room for ${room.freeFiles} files is`
  const sentence = `disk of the host: only ${left} left, and this machine grew most (${bytesInWords(most.grownBytes)})`
  return {
    machine: most,
    verdict: { limit: 'host-disk', used: room.freeBytes, allowed, quality: 'measured', sentence, fix: 'Free some space: df -h' },
  }
}

/** Sentence and way out, as the reason of a run that ended by it. */
export const reasonOf = ({ sentence, fix }: Pick<Verdict, 'sentence' | 'fix'>): string => `${sentence}. ${fix}`

const raise = (machine: string, option: string): string => `Raise it: autovibe machine limits ${machine} ${option}`

/** The next round figure above twice as much. */
function doubled(bytes: number): string {
  const MIB = 1024 ** 2
  const wanted = Math.ceil((bytes * 2) / MIB)
  return wanted % 1024 === 0 ? `${wanted / 1024}GiB` : `${wanted}MiB`
}
