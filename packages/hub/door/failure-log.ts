/** Says what failed at the door, so much for each machine: one that knows how to make the door fail must not fill the disk with it. */
import type { MachineId } from '@autovibe/contract'
import type { EngineLog } from '../operations/engine/context.ts'
import type { Runtime } from '../runtime.ts'
import { TokenBucket } from './token-bucket.ts'

/** Enough to see what is wrong: some hundred kilobytes a day of one machine. */
const LINES = { perSecond: 1 / 300, burst: 10 }

interface Kept {
  readonly lines: TokenBucket
  unsaid: number
}

export type TellFailure = (machineId: MachineId | null, err: unknown) => void

export function createFailureLog(log: Pick<EngineLog, 'error'>, runtime: Pick<Runtime, 'now'>): TellFailure {
  /** Those that failed lately. Failures before anybody is known share one. */
  const machines = new Map<MachineId | null, Kept>()

  function keptOf(machineId: MachineId | null, nowMs: number): Kept {
    const known = machines.get(machineId)
    if (known) return known
    for (const [each, { lines }] of machines) if (lines.isFull(nowMs)) machines.delete(each)
    const kept = { lines: new TokenBucket(LINES, nowMs), unsaid: 0 }
    machines.set(machineId, kept)
    return kept
  }

  return (machineId, err) => {
    const nowMs = runtime.now().getTime()
    const kept = keptOf(machineId, nowMs)
    if (kept.lines.take(1, nowMs) > 0) {
      kept.unsaid++
      return
    }
    log.error({ err, machine: machineId, ...(kept.unsaid === 0 ? {} : { unsaid: kept.unsaid }) }, 'the door failed')
    kept.unsaid = 0
  }
}
