/** What machines take where no control group counts: /proc is looked at from time to time, so that short processes and true peaks are missed. */
import { readFileSync } from 'node:fs'
import type { MachineId } from '@autovibe/contract'
import type { Host } from './host.ts'
import { type Process, processSnapshot } from './processes.ts'
import { findSupervisor, machineProcesses } from './supervisor.ts'

export interface Sample {
  readonly cpuSeconds: number
  readonly memoryBytes: number
  readonly peakMemoryBytes: number
  readonly processes: number
}

/** Linux shows times in units of 1/100 s on every architecture that Node runs on (USER_HZ). */
const TICKS_PER_SECOND = 100
const PAGE_BYTES = 4096

export class Samples {
  readonly #host: Host
  readonly #known = new Map<MachineId, { readonly life: string; readonly sample: Sample }>()

  constructor(host: Host) {
    this.#host = host
  }

  /** Looks now. When nothing runs any more, what was seen last stands for the whole life; null when nothing was ever seen. */
  async take(machineId: MachineId, life: string): Promise<Sample | null> {
    const before = this.#known.get(machineId)
    const last = before?.life === life ? before.sample : null
    const all = processSnapshot()
    const supervisor = await findSupervisor(this.#host, machineId)
    if (supervisor === null) return last === null ? null : { ...last, memoryBytes: 0, processes: 0 }
    const now = sumOf([supervisor, ...(await machineProcesses(this.#host, machineId, supervisor, all))])
    const sample = {
      ...now,
      // What a process had used that nobody waited for is gone from the sum, but was used.
      cpuSeconds: Math.max(now.cpuSeconds, last?.cpuSeconds ?? 0),
      peakMemoryBytes: Math.max(now.memoryBytes, last?.peakMemoryBytes ?? 0),
    }
    this.#known.set(machineId, { life, sample })
    return sample
  }

  forget(machineId: MachineId): void {
    this.#known.delete(machineId)
  }
}

function sumOf(processes: readonly Process[]): Omit<Sample, 'peakMemoryBytes'> {
  let [ticks, bytes, threads] = [0, 0, 0]
  for (const process of processes) {
    ticks += process.cpuTicks
    bytes += ownBytes(process.pid)
    threads += process.threads
  }
  return { cpuSeconds: ticks / TICKS_PER_SECOND, memoryBytes: bytes, processes: threads }
}

/** What is resident and not a file's: programs and libraries are shared with everyone (proc_pid_statm(5)). */
function ownBytes(pid: number): number {
  try {
    const [, resident = '0', shared = '0'] = readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')
    return Math.max(0, Number(resident) - Number(shared)) * PAGE_BYTES
  } catch {
    // It ended meanwhile.
    return 0
  }
}
