/**
 * Sandboxes that have outlived their supervisor. bubblewrap asks the kernel to end a sandbox with its parent, but the agent may trace the sandbox's first process and
 * take that wish back. It then has no marked ancestor any more; what it cannot undo is the folder with its socket that is mounted in it.
 */
import { readFileSync } from 'node:fs'
import { isId, MACHINE_PATHS, type MachineId } from '@autovibe/contract'
import type { Layout } from './layout.ts'
import type { Process } from './processes.ts'

/**
 * The machine of the first process of such a sandbox, null for any other process. One whose parent is a process of another sandbox, or is bubblewrap itself, is no
 * stray: a sandbox whose bubblewrap lives is found by its ancestors.
 */
export function strayOf(layout: Layout, process: Process, isInSandbox: (pid: number) => boolean): MachineId | null {
  return isInSandbox(process.parent) || isBubblewrap(process.parent) ? null : machineOf(layout, process.pid)
}

/** By the mount of its socket folder. What is mounted inside the agent cannot change; its root is the path within the file system, which may be the end of the host's. */
function machineOf(layout: Layout, pid: number): MachineId | null {
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

const isBubblewrap = (pid: number): boolean => readOrEmpty(`/proc/${pid}/comm`) === 'bwrap\n'

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
