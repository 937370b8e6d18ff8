/**
 * Sandboxes that have outlived their supervisor. bubblewrap asks the kernel to end a sandbox with its parent, but the agent may trace the sandbox's first process and
 * take that wish back. It then has no marked ancestor any more; what it cannot undo is the folder with its socket that is mounted in it.
 */
import { readFileSync, readlinkSync } from 'node:fs'
import { isId, MACHINE_PATHS } from '@autovibe/contract'
import type { Layout } from './layout.ts'
import { listProcesses, type Marked } from './processes.ts'

/** The first processes of such sandboxes. One whose parent is a process of another sandbox, or is bubblewrap itself, is no stray. */
export function listStrays(layout: Layout): Marked[] {
  const all = listProcesses()
  const own = namespaceOf('self')
  // Another user's namespace cannot be read; a sandbox of ours always can.
  const isForeign = (pid: number): boolean => ![own, null].includes(namespaceOf(pid))
  return all.flatMap((process) => {
    if (!isForeign(process.pid) || isForeign(process.parent) || isBubblewrap(process.parent)) return []
    const machineId = machineOf(layout, process.pid)
    return machineId === null ? [] : [{ ...process, machineId }]
  })
}

/** By the mount of its socket folder. What is mounted inside the agent cannot change; its root is the path within the file system, which may be the end of the host's. */
function machineOf(layout: Layout, pid: number): Marked['machineId'] | null {
  for (const line of readOrEmpty(`/proc/${pid}/mountinfo`).split('\n')) {
    const [, , , root = '', point] = line.split(' ')
    if (point !== MACHINE_PATHS.socketDir) continue
    const folder = root.replace(/\/\/deleted$/, '')
    const machineId = /\/(mch_[0-9a-z]{26})\/socket$/.exec(folder)?.[1]
    if (
      machineId !== undefined &&
      isId('machine', machineId) &&
      [layout.machines, layout.slots].some((above) => `${above}/${machineId}/socket`.endsWith(folder))
    )
      return machineId
  }
  return null
}

/** A sandbox whose bubblewrap lives is found by its ancestors. */
const isBubblewrap = (pid: number): boolean => readOrEmpty(`/proc/${pid}/comm`) === 'bwrap\n'

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
    return ''
  }
}
