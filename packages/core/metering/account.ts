/** What a machine's counters come to: which part is owed by which run, and when it is charged. Counters of a life begin at zero; nothing is taken twice. */
import type { MachineId, RunId } from '@autovibe/contract'

/** What the Hub remembers of a machine between two looks. */
export interface Meter {
  readonly life: string
  /** The counter of this life, as far as it was taken. */
  readonly cpuTakenUs: number
  /** Taken and not charged yet. */
  readonly cpuOwedUs: number
  /** Of all lives. */
  readonly cpuTotalUs: number
  /** Whose work it is, or was: once its end is charged, what follows is nobody's. */
  readonly runId: RunId | null
  readonly isRunClosed: boolean
  readonly wallChargedSeconds: number
  /** The most that it had on the disk. Null until the first look at a machine that began with the files of another: those are not its own work. */
  readonly diskChargedBytes: number | null
  /** The counter of this life, as far as it was charged. */
  readonly networkTakenBytes: number
  readonly takenAtMs: number
  /** Numbers the charges. */
  readonly round: number
}

export interface Counters {
  readonly life: string
  readonly cpuSeconds: number
  readonly cpuQuality: 'measured' | 'estimated'
  readonly diskBytes: number | null
  /** Null where nobody counts them. */
  readonly networkBytes: number | null
}

export interface RunClock {
  readonly id: RunId
  readonly isOver: boolean
  readonly workedMs: number
}

export interface Charge {
  readonly key: string
  readonly runId: RunId | null
  readonly resource: 'cpu_seconds' | 'wall_seconds' | 'storage_bytes' | 'network_bytes'
  /** Whole units. */
  readonly amount: number
  readonly quality: 'measured' | 'estimated'
}

/** `all`: whole units of everything, as at the end of a life. `worthwhile`: what is less than is worth a row stays in the meter, and is summed up. */
export type Extent = 'all' | 'worthwhile'

/** What is taken between two ends of runs, at most so often. */
const TAKE_EVERY_MS = 30_000
/** What is summed up is charged when an hour (UTC) is over, however little it came to. */
const HOUR_MS = 3_600_000

const US = 1_000_000
/** A VM at rest uses a second of a processor in a minute or two, and touches a file now and then: no reason for a row each time. */
const LEAST_CPU_SECONDS = 10
const LEAST_DISK_BYTES = 1024 ** 2
/** A machine at rest still says that it is there, which is no reason for a charge every time; what a life leaves below it is nobody's. */
const NETWORK_UNIT_BYTES = 1024 ** 2

/** The meter of a machine that is seen for the first time. */
export const firstMeter = (counters: Counters, isEmptyAtFirst: boolean, nowMs: number): Meter => ({
  life: counters.life,
  cpuTakenUs: 0,
  cpuOwedUs: 0,
  cpuTotalUs: 0,
  runId: null,
  isRunClosed: true,
  wallChargedSeconds: 0,
  diskChargedBytes: isEmptyAtFirst ? 0 : counters.diskBytes,
  networkTakenBytes: 0,
  takenAtMs: nowMs,
  round: 0,
})

/** Whether there is something to write down: an end, another run or life; else what has grown or is worth a charge, once it is long enough since the last time. */
export function isDue(meter: Meter, machineId: MachineId, counters: Counters | null, run: RunClock | null, nowMs: number): boolean {
  if (run !== null && (run.id !== meter.runId || (run.isOver && !meter.isRunClosed))) return true
  if (counters !== null && counters.life !== meter.life) return true
  if (nowMs - meter.takenAtMs < TAKE_EVERY_MS) return false
  const { charges, hasGrown } = takeInto(meter, machineId, counters, run, nowMs, 'worthwhile')
  return hasGrown || charges.length > 0
}

/** Takes the counters into the meter; answers how it stands then, and what is charged. Whole units only, the rest is carried over; a run's last charge is rounded. `hasGrown`: something came to another whole unit, charged or not. */
export function takeInto(
  before: Meter,
  machineId: MachineId,
  counters: Counters | null,
  run: RunClock | null,
  nowMs: number,
  extent: Extent = 'all',
): { meter: Meter; charges: Charge[]; hasGrown: boolean } {
  const quality = counters?.cpuQuality ?? 'measured'
  const charges: Charge[] = []
  const round = before.round + 1
  const charge = (runId: RunId | null, resource: Charge['resource'], amount: number, of: Charge['quality']): void => {
    if (amount > 0) charges.push({ key: `meter ${machineId} ${round} ${resource}${runId === null ? '' : ` ${runId}`}`, runId, resource, amount, quality: of })
  }

  let meter: Meter = { ...before, round, takenAtMs: nowMs }
  if (run !== null && run.id !== meter.runId) {
    charge(meter.isRunClosed ? null : meter.runId, 'cpu_seconds', Math.round(meter.cpuOwedUs / US), quality)
    meter = { ...meter, runId: run.id, isRunClosed: false, cpuOwedUs: 0, wallChargedSeconds: 0 }
  }
  if (counters !== null) {
    const counterUs = Math.round(counters.cpuSeconds * US)
    const grownUs = counters.life === meter.life ? Math.max(0, counterUs - meter.cpuTakenUs) : counterUs
    const cpuTakenUs = counters.life === meter.life ? meter.cpuTakenUs + grownUs : counterUs
    const networkTakenBytes = counters.life === meter.life ? meter.networkTakenBytes : 0
    meter = { ...meter, networkTakenBytes, life: counters.life, cpuTakenUs, cpuOwedUs: meter.cpuOwedUs + grownUs, cpuTotalUs: meter.cpuTotalUs + grownUs }
  }

  const isLast = run?.isOver === true && !meter.isRunClosed
  const runId = meter.isRunClosed ? null : meter.runId
  const whole = isLast ? Math.round : Math.floor
  const isAll = extent === 'all' || isLast || Math.floor(nowMs / HOUR_MS) > Math.floor(before.takenAtMs / HOUR_MS)
  const worth = (amount: number, least: number): number => (isAll || amount >= least ? amount : 0)

  const owedSeconds = whole(meter.cpuOwedUs / US)
  const cpuSeconds = worth(owedSeconds, LEAST_CPU_SECONDS)
  const hasGrown = owedSeconds > Math.floor(before.cpuOwedUs / US)
  charge(runId, 'cpu_seconds', cpuSeconds, quality)
  meter = { ...meter, cpuOwedUs: isLast ? 0 : meter.cpuOwedUs - cpuSeconds * US }
  if (run !== null && !meter.isRunClosed) {
    const wallSeconds = Math.max(0, whole(run.workedMs / 1000) - meter.wallChargedSeconds)
    charge(runId, 'wall_seconds', wallSeconds, 'measured')
    meter = { ...meter, wallChargedSeconds: meter.wallChargedSeconds + wallSeconds, isRunClosed: isLast }
  }
  const networkBytes = counters?.networkBytes ?? null
  if (networkBytes !== null) {
    const grownBytes = Math.max(0, networkBytes - meter.networkTakenBytes)
    const chargedBytes = isLast ? grownBytes : grownBytes - (grownBytes % NETWORK_UNIT_BYTES)
    charge(runId, 'network_bytes', chargedBytes, 'measured')
    meter = { ...meter, networkTakenBytes: meter.networkTakenBytes + chargedBytes }
  }
  const diskBytes = counters?.diskBytes ?? null
  if (diskBytes !== null) {
    const grownBytes = Math.max(0, diskBytes - (meter.diskChargedBytes ?? diskBytes))
    const chargedBytes = worth(grownBytes, LEAST_DISK_BYTES)
    charge(runId, 'storage_bytes', chargedBytes, 'estimated')
    meter = { ...meter, diskChargedBytes: (meter.diskChargedBytes ?? diskBytes) + chargedBytes }
  }
  return { meter, charges, hasGrown }
}
