/**
 * What a cluster saw of a VM's processor time: its own averages of whole minutes are taken for good, each once; until they are there, and where they are missing, what it was seen at now and then
 * stands for them. Times are seconds since 1970.
 */

export interface CpuSeen {
  /** Up to here it is counted for good. */
  readonly settledS: number
  readonly settledCpuS: number
  /** What it was seen at since then: in order, none over another, at most `LOOKS_MAX`. */
  readonly looks: readonly Look[]
}

export interface Look {
  readonly fromS: number
  readonly toS: number
  /** How many processors were busy meanwhile. */
  readonly cores: number
}

/** One point of the cluster's figures over time; null where it has none (yet). */
export interface Stretch {
  readonly fromS: number
  readonly toS: number
  readonly cores: number | null
}

const MINUTE_S = 60

/** Of RRD's entries, each by its beginning: a share of all processors, and how many those are; either may be missing. */
export function stretchesOf(points: readonly Readonly<Record<string, number | null>>[]): Stretch[] {
  const times = points.flatMap(({ time }) => (typeof time === 'number' && Number.isFinite(time) ? [time] : [])).toSorted((a, b) => a - b)
  const steps = times.flatMap((time, index) => (index > 0 && time > (times[index - 1] ?? time) ? [time - (times[index - 1] ?? time)] : []))
  const stepS = steps.length === 0 ? MINUTE_S : Math.min(...steps)
  return points.flatMap(({ time, cpu, maxcpu }) =>
    typeof time === 'number' && Number.isFinite(time)
      ? [{ fromS: time, toS: time + stepS, cores: typeof cpu === 'number' && typeof maxcpu === 'number' ? cpu * maxcpu : null }]
      : [],
  )
}

/** A look tells of some ten seconds before it, which may be ten seconds ago; what lies further back is not guessed at, its minutes will come. */
export const LOOK_REACH_S = 20
/** Nodes write a minute down within seconds; one that is not there after so long never will be. */
export const LATE_S = 180
export const LOOKS_MAX = 120

export const firstSeen = (atS: number): CpuSeen => ({ settledS: atS, settledCpuS: 0, looks: [] })

/** `cores` as they were busy shortly before; a look that is older than the last one changes nothing. */
export function lookedAt(seen: CpuSeen, atS: number, cores: number): CpuSeen {
  const fromS = Math.max(seen.settledS, seen.looks.at(-1)?.toS ?? seen.settledS, atS - LOOK_REACH_S)
  if (!isAmount(cores) || !(atS > fromS)) return seen
  const looks = [...seen.looks, { fromS, toS: atS, cores }]
  return { ...seen, looks: looks.length > LOOKS_MAX ? [joined(looks[0], looks[1]), ...looks.slice(2)] : looks }
}

/** Takes the minutes that are over and told, in whatever order and however often they come; one that is missing waits until it is too late for it. */
export function settled(seen: CpuSeen, stretches: readonly Stretch[], nowS: number): CpuSeen {
  let { settledS, settledCpuS } = seen
  const isTooLate = (toS: number): boolean => toS <= nowS - LATE_S
  for (const { fromS, toS, cores } of stretches.toSorted((a, b) => a.fromS - b.fromS)) {
    if (toS <= settledS || !(toS > fromS)) continue
    if (toS > nowS) break
    if (fromS > settledS) {
      if (!isTooLate(fromS)) break
      settledCpuS += cpuOf(seen.looks, settledS, fromS)
      settledS = fromS
    }
    if (cores !== null && isAmount(cores)) settledCpuS += cores * (toS - settledS)
    else if (isTooLate(toS)) settledCpuS += cpuOf(seen.looks, settledS, toS)
    else break
    settledS = toS
  }
  return { settledS, settledCpuS, looks: seen.looks.filter(({ toS }) => toS > settledS) }
}

export const cpuSecondsOf = ({ settledS, settledCpuS, looks }: CpuSeen): number => settledCpuS + cpuOf(looks, settledS, Number.POSITIVE_INFINITY)

/** Of the part of each look that lies between the two. */
const cpuOf = (looks: readonly Look[], fromS: number, toS: number): number =>
  looks.reduce((sum, look) => sum + look.cores * Math.max(0, Math.min(look.toS, toS) - Math.max(look.fromS, fromS)), 0)

function joined(one: Look | undefined, other: Look | undefined): Look {
  const both = [one, other].filter((look) => look !== undefined)
  const [fromS, toS] = [Math.min(...both.map((look) => look.fromS)), Math.max(...both.map((look) => look.toS))]
  return { fromS, toS, cores: cpuOf(both, fromS, toS) / (toS - fromS) }
}

const isAmount = (value: number): boolean => Number.isFinite(value) && value >= 0
