/** The processes of this data directory's machines, found among all of the host, whether anybody knows of them or not. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setImmediate as breath } from 'node:timers/promises'
import { isId, type MachineId } from '@autovibe/contract'
import type { Layout } from './layout.ts'
import { isAlive, type Process, readProcess } from './processes.ts'
import { strayOf } from './strays.ts'

export interface Marked extends Process {
  readonly machineId: MachineId
}

/** Looking at a process takes about 50 us; with many machines, everything else in the Hub goes on between two slices. */
const SLICE = 40

/**
 * Those that carry a machine's mark in their arguments or environment, and sandboxes that have outlived whoever carried it. Only processes of our own namespace are
 * asked for marks: what runs inside a machine can write any arguments it likes.
 */
export async function findMarked(layout: Layout): Promise<Marked[]> {
  const own = namespaceOf('self')
  const pattern = new RegExp(`(?:^|[\\0=])autovibe:(mch_[0-9a-z]{26}):${layout.dataMark}(?:\\0|$)`)
  const found: Marked[] = []
  let looked = 0
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    if (++looked % SLICE === 0) await breath()
    const candidate = readProcess(pid)
    if (candidate === null || !isAlive(candidate)) continue
    const namespace = namespaceOf(pid)
    const mark = namespace === own ? (pattern.exec(readOrEmpty(`/proc/${pid}/cmdline`)) ?? pattern.exec(readOrEmpty(`/proc/${pid}/environ`)))?.[1] : undefined
    // Another user's namespace cannot be read; a sandbox of ours always can.
    const machineId = namespace === own || namespace === null ? mark : strayOf(layout, candidate, (parent) => ![own, null].includes(namespaceOf(parent)))
    if (machineId != null && isId('machine', machineId)) found.push({ ...candidate, machineId })
  }
  return found
}

function namespaceOf(pid: number | 'self'): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`)
  } catch {
    // It ended, or is another user's.
    return null
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // The process ended between two looks, or is another user's and so none of ours.
    return ''
  }
}
