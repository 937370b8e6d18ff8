/** How long how many processors were kept busy, in steps that grow by a twelfth: small enough to be kept for each run, and added up over all of them. */

/** Milliseconds by the number of the step, which holds everything up to its upper edge. */
export type BusyTimes = Readonly<Record<string, number>>

const STEPS_PER_DOUBLING = 8
/** Upper edge of the first step. */
const LEAST_CORES = 1 / 64
/** 4096 processors. */
const LAST_STEP = Math.log2(4096 / LEAST_CORES) * STEPS_PER_DOUBLING

export const upperCores = (step: number): number => LEAST_CORES * 2 ** (step / STEPS_PER_DOUBLING)
export const lowerCores = (step: number): number => (step === 0 ? 0 : upperCores(step - 1))

export function stepOf(cores: number): number {
  if (!(cores > LEAST_CORES)) return 0
  const step = Math.min(LAST_STEP, Math.ceil(Math.log2(cores / LEAST_CORES) * STEPS_PER_DOUBLING))
  // Logarithms of an edge may fall on either side of it.
  return step < LAST_STEP && upperCores(step) < cores ? step + 1 : step
}

export function addBusy(times: BusyTimes, cores: number, ms: number): BusyTimes {
  if (!(ms > 0) || !Number.isFinite(ms) || !Number.isFinite(cores)) return times
  const step = String(stepOf(cores))
  return { ...times, [step]: (times[step] ?? 0) + Math.round(ms) }
}

export interface Work {
  readonly cpuUs: number
  readonly elapsedMs: number
  /** As far as the clock of the run counted: pauses are no work. */
  readonly workedMs: number
}

/** Shorter than this, seconds that were rounded say nothing. */
const SHORTEST_MS = 2_000

/** What one stretch of a run adds; its clock is in whole seconds, so that where both agree the exact one is taken. */
export function busyIn(times: BusyTimes, { cpuUs, elapsedMs, workedMs }: Work): BusyTimes {
  const ms = Math.abs(elapsedMs - workedMs) <= SHORTEST_MS ? elapsedMs : Math.min(elapsedMs, workedMs)
  return ms < SHORTEST_MS ? times : addBusy(times, Math.max(0, cpuUs) / 1000 / ms, ms)
}
