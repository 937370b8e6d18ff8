/** The machine that measured, and how busy it was with other work: a figure without these says little. */
import { availableParallelism, cpus, loadavg, release, type as systemName, totalmem } from 'node:os'

export interface MachineFacts {
  readonly cpu: string
  readonly cores: number
  readonly memory_gib: number
  readonly system: string
  readonly node: string
  readonly taken_at: string
  /** One-minute load averages; what goes beyond the bench's own work was somebody else's. */
  readonly load_before: number
  readonly load_after: number
}

/** Call the answer when the measurement is over. */
export function describeMachine(): () => MachineFacts {
  const load_before = load()
  const taken_at = new Date().toISOString()
  return () => ({
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memory_gib: Math.round(totalmem() / 1024 ** 3),
    system: `${systemName()} ${release()}`,
    node: process.version,
    taken_at,
    load_before,
    load_after: load(),
  })
}

const load = (): number => Math.round((loadavg()[0] ?? 0) * 100) / 100
