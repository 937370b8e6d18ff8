/** Tells waiting requests that something was committed to `events`: one connection that listens, and a timer for what it may miss. */
import type { DatabaseAddress } from './database.ts'
import { openListener } from './listener.ts'

export interface ChangeFeed {
  /**
   * Resolves at the next commit to `events`, after two seconds at the latest, or when the signal is aborted. It only says "look again": ask for it BEFORE reading
   * the rows and await it AFTER, so that a commit in between is not missed.
   */
  next(signal: AbortSignal): Promise<void>
}

export interface OpenChangeFeed extends ChangeFeed {
  close(): Promise<void>
}

const CHANNEL = 'autovibe_events'
const SAFETY_MS = 2000
/** Wake-ups are at least this far apart, so that a thousand commits a second do not make a thousand reads for each waiter. */
const GAP_MS = 5

/** Opens the feed; it goes on by itself when the connection is lost (`onError` is told each time), and wakes everyone when it is back. */
export async function openChangeFeed(address: DatabaseAddress, options: { readonly onError: (error: Error) => void }): Promise<OpenChangeFeed> {
  let closed = false
  const waiting = new Set<() => void>()
  let gap: NodeJS.Timeout | undefined
  let wokenInGap = false

  const wakeAll = (): void => {
    const now = [...waiting]
    waiting.clear()
    for (const wake of now) wake()
  }
  const wake = (): void => {
    if (closed) return
    if (gap) {
      wokenInGap = true
      return
    }
    wakeAll()
    gap = setTimeout(() => {
      gap = undefined
      if (!wokenInGap) return
      wokenInGap = false
      wake()
    }, GAP_MS)
  }

  const listener = openListener(address, CHANNEL, { name: 'autovibe-hub-events', onNotify: wake, onError: options.onError })
  try {
    await listener.ready
  } catch (error) {
    await listener.close()
    throw error
  }
  const safety = setInterval(wakeAll, SAFETY_MS).unref()

  return {
    next(signal) {
      return new Promise((resolve) => {
        const done = (): void => {
          waiting.delete(done)
          signal.removeEventListener('abort', done)
          resolve()
        }
        if (signal.aborted || closed) return resolve()
        signal.addEventListener('abort', done, { once: true })
        waiting.add(done)
      })
    },
    async close() {
      closed = true
      clearInterval(safety)
      clearTimeout(gap)
      wakeAll()
      await listener.close()
    },
  }
}
