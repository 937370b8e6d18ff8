/** What whoever started the Hub left open: Node closes its own descriptors in a child, but passes these on, and a folder among them would be a way out of a machine. */
import { readdirSync, readFileSync } from 'node:fs'

/** O_CLOEXEC as /proc/PID/fdinfo shows it, the same on x86 and ARM (fcntl.h). */
const CLOSE_ON_EXEC = 0o2000000

/**
 * The rest of a child's `stdio` from this descriptor on: an empty pipe in the place of each that would be inherited. Destroy the Hub's ends after the start.
 * The supervisor's shell could not close them itself: dash knows one-digit descriptors only.
 */
export function coverInherited(from: number): ('ignore' | 'pipe')[] {
  const inherited = inheritedDescriptors().filter((descriptor) => descriptor >= from)
  // For Node `ignore` leaves a descriptor above 2 as it is.
  const covered: ('ignore' | 'pipe')[] = Array.from({ length: Math.max(0, ...inherited.map((descriptor) => descriptor + 1 - from)) }, () => 'ignore')
  for (const descriptor of inherited) covered[descriptor - from] = 'pipe'
  return covered
}

function inheritedDescriptors(): number[] {
  return readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      const flags = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${name}`, 'latin1'))?.[1] ?? '0'
      return (Number.parseInt(flags, 8) & CLOSE_ON_EXEC) === 0 ? [Number(name)] : []
    } catch {
      // The descriptor of this very listing is closed again.
      return []
    }
  })
}
