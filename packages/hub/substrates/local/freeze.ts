/** Holds a machine's processes still while its tree is copied or swapped, so that no write is refused and none is half seen. */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { MACHINE_PATHS, type MachineId } from '@autovibe/contract'
import { type Host, sharesHost } from './host.ts'
import { type Process, signalProcess } from './processes.ts'
import { continueAll, stopMoving } from './stopping.ts'
import { machineProcesses } from './supervisor.ts'

/** A process that forks while it is being stopped needs another look; one in an uninterruptible call cannot be waited for without end. */
const FREEZE_TIMEOUT_MS = 500
/** Most stop before the next look is over; a pause, even of 1 ms, waits for whatever else this process has to do. */
const LOOKS_AT_ONCE = 4

export interface Frozen {
  /** What stands still, parents before children. */
  readonly processes: readonly Process[]
  /** False when something could not be stopped in time. */
  readonly complete: boolean
  thaw(): void
}

/** Stops every process inside the machine; those that the agent had stopped by itself stay so afterwards. */
export async function freeze(host: Host, machineId: MachineId, supervisor: Process): Promise<Frozen> {
  const outside = linkOrNull('/proc/self/ns/pid')
  const ours = new Map<number, Process>()
  let seen = new Set<number>()
  const until = performance.now() + FREEZE_TIMEOUT_MS
  const thaw = (): void => continueAll(ours)
  try {
    for (let looks = 1; ; looks++) {
      // Sandboxed processes live in a namespace of their own; the supervisor and its relay do not, and must go on.
      const inside = (await machineProcesses(host, machineId, supervisor)).filter(
        (process) => sharesHost(host.offer) || linkOrNull(`/proc/${process.pid}/ns/pid`) !== outside,
      )
      const moving = stopMoving(inside, ours)
      // What was born while its parent was being stopped is met by a second look; whoever stands still bears no more.
      if (moving.length === 0 && inside.every(({ pid }) => seen.has(pid))) return { processes: inside, complete: true, thaw }
      seen = new Set(moving.length === 0 ? inside.map(({ pid }) => pid) : [])
      if (performance.now() > until) return { processes: inside, complete: false, thaw }
      if (moving.length > 0 && looks >= LOOKS_AT_ONCE) await delay(1)
    }
  } catch (error) {
    thaw()
    throw error
  }
}

/** Continues all that a Hub which ended meanwhile had stopped. */
export async function thawAll(host: Host, machineId: MachineId, supervisor: Process): Promise<void> {
  for (const process of (await machineProcesses(host, machineId, supervisor)).reverse()) signalProcess(process, 'SIGCONT')
}

/** True when one of these has a file beneath this folder open for writing. */
export function hasOpenForWriting(processes: readonly Process[], tree: string): boolean {
  const device = statSync(tree).dev
  return processes.some(({ pid }) => {
    try {
      return readdirSync(`/proc/${pid}/fd`).some((fd) => isWriter(pid, fd, device, tree))
    } catch {
      // It ended meanwhile.
      return false
    }
  })
}

function isWriter(pid: number, fd: string, device: number, tree: string): boolean {
  try {
    // A sandboxed process names its files as it sees them; one outside of any sandbox by their paths here.
    const path = readlinkSync(`/proc/${pid}/fd/${fd}`)
    if (!path.startsWith(`${tree}/`) && !path.startsWith(`${MACHINE_PATHS.tree}/`)) return false
    const stat = statSync(`/proc/${pid}/fd/${fd}`)
    if (!stat.isFile() || stat.dev !== device) return false
    // proc(5): the open flags in octal; the last two bits are 0 for reading only (fcntl.h).
    const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'))?.[1] ?? '0'
    return (Number.parseInt(flags, 8) & 3) !== 0
  } catch {
    return false
  }
}

function linkOrNull(path: string): string | null {
  try {
    return readlinkSync(path)
  } catch {
    return null
  }
}
