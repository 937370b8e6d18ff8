/** Looks at processes that may be gone a moment later. */

/** Processes end while they are looked at, and those of others show nothing; a host without /proc has none to show. */
export function orNull<T>(look: () => T): T | null {
  try {
    return look()
  } catch {
    return null
  }
}

/** Whatever it was before; one that has ended with another of them needs no more. */
export const end = (pid: number): boolean | null => orNull(() => process.kill(pid, 'SIGKILL'))
