/** Wakes those who wait for something to change. */

export class Bell {
  readonly #waiting = new Set<() => void>()

  /** Wakes everyone who waits now. */
  ring(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  /** Resolves at the next ring, after so many milliseconds, or when the signal says so. */
  wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', wake)
        this.#waiting.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      signal.addEventListener('abort', wake)
      this.#waiting.add(wake)
      if (signal.aborted) wake()
    })
  }
}
