/** What a guest uses, from its processes as /proc shows them. */
import { readFileSync } from 'node:fs'
import type { Process } from '../../packages/hub/substrates/local/processes.ts'
import type { Usage } from './guests.ts'

/** USER_HZ, the same on every architecture that we run on, and the size of a page. */
const TICKS_PER_SECOND = 100
const PAGE_BYTES = 4096

interface Counters {
  readonly cpuSeconds: number
  readonly diskReadBytes: number
  readonly diskWriteBytes: number
}

/** Counters never go back: neither when a process ends and takes its figures with it, nor when the guest is reset. */
export class Spent {
  #before: Counters = NOTHING
  #now: Counters = NOTHING

  reset(): void {
    this.#before = this.seen(NOTHING)
    this.#now = NOTHING
  }

  seen(counters: Counters): Counters {
    this.#now = both(this.#now, counters, Math.max)
    return both(this.#before, this.#now, (one, other) => one + other)
  }
}

const NOTHING: Counters = { cpuSeconds: 0, diskReadBytes: 0, diskWriteBytes: 0 }
const both = (one: Counters, other: Counters, join: (one: number, other: number) => number): Counters => ({
  cpuSeconds: join(one.cpuSeconds, other.cpuSeconds),
  diskReadBytes: join(one.diskReadBytes, other.diskReadBytes),
  diskWriteBytes: join(one.diskWriteBytes, other.diskWriteBytes),
})

export function usageOf(
  processes: readonly Process[],
  guest: { readonly spent: Spent; readonly network: { readonly received: number; readonly sent: number } },
): Usage {
  const io = processes.map(({ pid }) => read(`/proc/${pid}/io`))
  return {
    ...guest.spent.seen({
      cpuSeconds: sum(processes.map((each) => each.cpuTicks)) / TICKS_PER_SECOND,
      diskReadBytes: sum(io.map((text) => figure(text, 'read_bytes'))),
      diskWriteBytes: sum(io.map((text) => figure(text, 'write_bytes'))),
    }),
    memoryBytes: sum(processes.map(({ pid }) => Number(read(`/proc/${pid}/statm`).split(' ')[1] ?? 0) * PAGE_BYTES)),
    netInBytes: guest.network.received,
    netOutBytes: guest.network.sent,
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0)
const figure = (text: string, name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1] ?? 0)

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // It ended meanwhile.
    return ''
  }
}
