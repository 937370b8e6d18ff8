/** Who has a file of the tree open for writing: what is frozen then may hold half of what they are about to write. */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'

/** `seenAs`: where the tree lies for these processes, and where here. */
export function hasOpenForWriting(pids: readonly number[], tree: string, seenAs: readonly string[]): boolean {
  const device = statSync(tree).dev
  return pids.some((pid) => {
    try {
      return readdirSync(`/proc/${pid}/fd`).some((fd) => isWriter(pid, fd, device, seenAs))
    } catch {
      // It ended meanwhile.
      return false
    }
  })
}

function isWriter(pid: number, fd: string, device: number, seenAs: readonly string[]): boolean {
  try {
    const path = readlinkSync(`/proc/${pid}/fd/${fd}`)
    if (!seenAs.some((tree) => path.startsWith(`${tree}/`))) return false
    const stat = statSync(`/proc/${pid}/fd/${fd}`)
    if (!stat.isFile() || stat.dev !== device) return false
    // proc(5): the open flags in octal; the last two bits are 0 for reading only (fcntl.h).
    const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'))?.[1] ?? '0'
    return (Number.parseInt(flags, 8) & 3) !== 0
  } catch {
    // Closed meanwhile.
    return false
  }
}
