/** How a task of Proxmox ended, and which of a node's tasks is the one whose name was lost. */
import { oneLine, saysLocked } from './failures.ts'

export type TaskEnd =
  | { readonly kind: 'done'; readonly warnings: number }
  /** Its process is gone without a last word: a reboot, a crash, a kill. What it did is not known. */
  | { readonly kind: 'vanished'; readonly words: string }
  | { readonly kind: 'failed'; readonly words: string; readonly locked: boolean }

/** What Proxmox says of a task whose log has no last line, or is gone. */
const VANISHED = /^unexpected status\b|^unable to (?:read tail|open file)\b/

export function taskEnd(exitstatus: string | undefined): TaskEnd {
  const words = oneLine(exitstatus ?? '')
  if (words === 'OK') return { kind: 'done', warnings: 0 }
  const warnings = /^WARNINGS: (\d{1,9})$/.exec(words)?.[1]
  if (warnings !== undefined) return { kind: 'done', warnings: Number(warnings) }
  if (words === '' || VANISHED.test(words)) return { kind: 'vanished', words: words || 'no exit status' }
  return { kind: 'failed', words, locked: saysLocked(words) }
}

export interface ListedTask {
  readonly upid: string
  readonly type: string
  readonly id: string
  readonly starttime: number
}

export interface LostTask {
  readonly type: string
  /** What the task works on: of a clone, its source. */
  readonly vmid: number
  /** When the call was about to be made, in seconds since 1970 by our clock. */
  readonly sinceS: number
  /** How far the node's clock may be behind ours. */
  readonly skewS: number
  /** Tasks that are known to belong to other calls. */
  readonly known: ReadonlySet<string>
}

/** The tasks that a call may have started whose answer was lost, oldest first: none when it started none. */
export function tasksOfLostCall<T extends ListedTask>(tasks: readonly T[], lost: LostTask): T[] {
  return tasks
    .filter((task) => task.type === lost.type && task.id === String(lost.vmid) && task.starttime >= lost.sinceS - lost.skewS && !lost.known.has(task.upid))
    .sort((left, right) => left.starttime - right.starttime || (left.upid < right.upid ? -1 : 1))
}
