/** What the agent takes: from its control group as far as that counts, else added up of its processes as they are seen. */
import type { Group } from './group.ts'
import { ownBytes, type Process } from './processes.ts'

export interface Figures {
  readonly cpuSeconds: number
  readonly memoryBytes: number
  readonly peakMemoryBytes: number
  readonly processes: number
  /** By the kernel, in the agent's group; false: only what was seen now and then. */
  readonly isCounted: boolean
  readonly refused: { readonly memory: number | null; readonly processes: number | null }
}

export const NO_FIGURES: Figures = {
  cpuSeconds: 0,
  memoryBytes: 0,
  peakMemoryBytes: 0,
  processes: 0,
  isCounted: false,
  refused: { memory: null, processes: null },
}

/** Neither processor time nor the peak ever falls: what a process had used that nobody sees any more was used. */
export function figuresOf(group: Group | null, processes: readonly Process[], last: Figures): Figures {
  const seenBytes = processes.reduce((sum, { pid }) => sum + ownBytes(pid), 0)
  const cpuMicroseconds = group?.field('cpu.stat', 'usage_usec') ?? null
  const memoryBytes = processes.length === 0 ? 0 : (group?.number('memory.current') ?? seenBytes)
  const cpuSeconds = cpuMicroseconds === null ? processes.reduce((sum, process) => sum + process.cpuSeconds, 0) : cpuMicroseconds / 1e6
  return {
    cpuSeconds: Math.max(last.cpuSeconds, cpuSeconds),
    memoryBytes,
    peakMemoryBytes: Math.max(last.peakMemoryBytes, group?.number('memory.peak') ?? memoryBytes),
    processes: group?.number('pids.current') ?? processes.length,
    isCounted: cpuMicroseconds !== null,
    refused: {
      memory: group?.field('memory.events', 'oom_kill') ?? last.refused.memory,
      processes: group?.field('pids.events', 'max') ?? last.refused.processes,
    },
  }
}
