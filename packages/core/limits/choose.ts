/** Which limits a machine gets: what was asked for, else what its origin has, else what its host allows. */
import type { MachineLimits, MachineLimitsChange } from '@autovibe/contract'

const GIB = 1024 ** 3

export interface HostSize {
  readonly cores: number
  readonly memoryBytes: number
  /** Of the file system that holds the machines. */
  readonly diskBytes: number
}

/** For a machine for which nobody says otherwise: one of them alone neither takes the host's memory nor fills its disk. */
export function limitsOfHost({ cores, memoryBytes, diskBytes }: HostSize): MachineLimits {
  return {
    // The kernel shares processors fairly between machines and the Hub; only what cannot be taken back is held short.
    cores: Math.max(1, cores),
    memory_bytes: between(GIB / 2, Math.floor(memoryBytes / 2), 8 * GIB),
    processes: 2048,
    disk_bytes: between(GIB, Math.floor(diskBytes / 5), 20 * GIB),
    wall_seconds: 24 * 3600,
  }
}

/** The most that is proposed on a host that the Hub and other machines share: what it gives by itself, or what somebody has given on purpose. */
export function mostShared(host: HostSize, now: Pick<MachineLimits, 'memory_bytes' | 'disk_bytes'>): HostSize {
  const given = limitsOfHost(host)
  return {
    cores: host.cores,
    memoryBytes: Math.min(host.memoryBytes, Math.max(given.memory_bytes, now.memory_bytes)),
    diskBytes: Math.min(host.diskBytes, Math.max(given.disk_bytes, now.disk_bytes)),
  }
}

/** Of each limit the first that is given, else that of the host. */
export function chooseLimits(host: MachineLimits, ...changes: readonly (MachineLimitsChange | null | undefined)[]): MachineLimits {
  const chosen = { ...host }
  for (const change of changes.toReversed()) Object.assign(chosen, Object.fromEntries(Object.entries(change ?? {}).filter(([, value]) => value !== undefined)))
  return chosen
}

const between = (least: number, wanted: number, most: number): number => Math.max(least, Math.min(wanted, most))
