/** From what the runs of a project used to what its next machines should be given: enough for what was seen and some more, and no more than there is. */
import type { MachineLimits } from '@autovibe/contract'
import { type BusyTimes, lowerCores, upperCores } from './busy-times.ts'
import type { HostSize } from './choose.ts'
import { bytesInWords } from './words.ts'

export interface RunUse {
  /** Those that held. */
  readonly limits: Pick<MachineLimits, 'cores' | 'memory_bytes' | 'disk_bytes'>
  readonly busyMs: BusyTimes
  readonly peakMemoryBytes: number
  /** Whether a process was ended for memory. A peak at the limit says nothing of the kind: files just used fill what there is. */
  readonly wasMemoryRefused: boolean
  /** Null when the disk was never looked at. */
  readonly peakDiskBytes: number | null
}

/** Of less than this nothing is proposed. */
export const RUNS_LEAST = 3
export const SEEN_LEAST_MS = 10 * 60_000

/** What is had on top of what was seen. Memory that is short ends a run, and disk that is short too; processors that are short make it slower. */
export const HEADROOM = { cores: 0.25, memory: 0.3, disk: 0.5 } as const
/** Of the work, by processor time: a build that is short keeps many busy, and is what is waited for. */
export const CORES_SHARE = 0.95
/** Who used so much of a limit may have needed more than it let: twice as much is next. Not so with memory. */
export const PRESSED = 0.9

const MIB = 1024 ** 2
const CORES = { step: 0.25, least: 0.25 } as const
const MEMORY = { step: 128 * MIB, least: 256 * MIB } as const
const DISK = { step: 256 * MIB, least: 1024 * MIB } as const

export interface Proposed {
  readonly now: number
  readonly proposed: number
  readonly seen: number
  readonly reason: string
}

export interface Proposal {
  readonly cores: Proposed
  readonly memory_bytes: Proposed
  /** Null when no disk was looked at. */
  readonly disk_bytes: Proposed | null
}

export const seenMs = (uses: readonly RunUse[]): number => uses.reduce((sum, { busyMs }) => sum + total(busyMs), 0)

/** Null while too little was seen. `now` is what the next machine would be given. */
export function rightSize(uses: readonly RunUse[], now: RunUse['limits'], most: HostSize): Proposal | null {
  if (uses.length < RUNS_LEAST || seenMs(uses) < SEEN_LEAST_MS) return null
  const disks = uses.flatMap(({ peakDiskBytes, limits }) =>
    peakDiskBytes === null ? [] : [needOf(peakDiskBytes, peakDiskBytes, limits.disk_bytes, HEADROOM.disk)],
  )
  return {
    cores: coresFor(uses, now.cores, most.cores),
    memory_bytes: bytesFor(uses.map(memoryNeed), { now: now.memory_bytes, most: most.memoryBytes, headroom: HEADROOM.memory, ...MEMORY }),
    disk_bytes: disks.length === 0 ? null : bytesFor(disks, { now: now.disk_bytes, most: most.diskBytes, headroom: HEADROOM.disk, ...DISK }),
  }
}

interface Need {
  readonly seen: number
  readonly need: number
  readonly isPressed: boolean
}

/** With its headroom; where it was pressed against its limit, at least twice that. */
function needOf(seen: number, sure: number, limit: number, headroom: number): Need {
  const wanted = seen * (1 + headroom)
  const isPressed = sure >= PRESSED * limit
  return { seen, need: isPressed ? Math.max(wanted, 2 * limit) : wanted, isPressed }
}

/** A limit under which nothing was refused was enough; where nobody counts that, or holds it, more than the limit may be taken. */
function memoryNeed({ peakMemoryBytes: seen, wasMemoryRefused, limits: { memory_bytes: limit } }: RunUse): Need {
  const wanted = seen * (1 + HEADROOM.memory)
  const isPressed = wasMemoryRefused || seen > limit
  return { seen, need: isPressed ? Math.max(wanted, 2 * limit) : Math.min(wanted, limit), isPressed }
}

function coresFor(uses: readonly RunUse[], now: number, most: number): Proposed {
  const needs = uses
    .flatMap(({ busyMs, limits }) =>
      Object.entries(busyMs).map(([step, ms]) => {
        const cores = upperCores(Number(step))
        return { ms, work: ms * cores, ...needOf(cores, lowerCores(Number(step)), limits.cores, HEADROOM.cores) }
      }),
    )
    .toSorted((a, b) => a.need - b.need)
  const [work, ms] = [needs.reduce((sum, each) => sum + each.work, 0), needs.reduce((sum, each) => sum + each.ms, 0)]
  const mean = work / ms
  let passed = 0
  const found = needs.find((each) => {
    passed += each.work
    return passed >= work * CORES_SHARE
  }) ?? { seen: 0, need: 0, isPressed: false }
  const isMean = mean * (1 + HEADROOM.cores) > found.need
  const seen = Math.min(isMean ? mean : found.seen, most)
  const told = `${rounded(seen)} ${rounded(seen) === '1' ? 'processor' : 'processors'}`
  const reason = isMean
    ? `${told} busy on average, and ${percent(HEADROOM.cores)} on top`
    : found.isPressed
      ? `kept ${told} busy, nearly all that it had, for more than ${percent(1 - CORES_SHARE)} of the processor time; twice as many may be needed`
      : `in ${percent(CORES_SHARE)} of the processor time at most ${told} busy, and ${percent(HEADROOM.cores)} on top`
  return within({ now, seen, reason, need: Math.max(found.need, mean * (1 + HEADROOM.cores)), most, ...CORES })
}

interface Bounds {
  readonly now: number
  readonly most: number
  readonly headroom: number
  readonly step: number
  readonly least: number
}

function bytesFor(needs: readonly Need[], bounds: Bounds): Proposed {
  const found = needs.reduce((largest, each) => (each.need > largest.need ? each : largest), { seen: 0, need: 0, isPressed: false })
  const isAtLimit = found.need < found.seen * (1 + bounds.headroom)
  const reason = found.isPressed
    ? `a run took ${bytesInWords(found.seen)}, nearly all that it had; twice as much may be needed`
    : isAtLimit
      ? `a run took ${bytesInWords(found.seen)}, with files just used, and what it had was enough`
      : `no run took more than ${bytesInWords(found.seen)}, and ${percent(bounds.headroom)} on top`
  return within({ ...bounds, seen: found.seen, need: found.need, reason })
}

/** Rounded up to whole steps, at least what an agent needs, and at most what there is. */
function within({
  now,
  seen,
  need,
  reason,
  most,
  step,
  least,
}: Omit<Bounds, 'headroom'> & { readonly seen: number; readonly need: number; readonly reason: string }): Proposed {
  const wanted = Math.max(least, Math.ceil(need / step) * step)
  return wanted > most ? { now, proposed: most, seen, reason: `${reason}, but there is no more to be had` } : { now, proposed: wanted, seen, reason }
}

const total = (times: BusyTimes): number => Object.values(times).reduce((sum, ms) => sum + ms, 0)
const rounded = (cores: number): string => String(Math.round(cores * 100) / 100)
const percent = (share: number): string => `${Math.round(share * 100)} %`
