/** One listening connection for all wake-ups of this process. */
import type { DatabaseAddress } from '../../database/database.ts'
import { openListener } from '../../database/listener.ts'
import type { EngineLog } from './context.ts'
import { WAKE_CHANNEL } from './wake.ts'

export interface WakeFeed {
  /** Calls back with the machine or operation of each wake-up, and with '' when anything may have changed unheard; the answer ends it. */
  subscribe(onWake: (subject: string) => void): () => void
  /**
   * Resolves at the next wake-up of this subject (or of all, after a lost connection), or after `timeoutMs`, or when the signal is raised.
   * Nothing is lost if the row is read after subscribing.
   */
  next(subject: string, timeoutMs: number, signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** Opens the feed at once; until the connection is there, and while it is lost, nobody is woken, and then everybody is. */
export function openWakeFeed(address: DatabaseAddress, log: EngineLog): WakeFeed {
  const subscribers = new Set<(subject: string) => void>()
  const listener = openListener(address, WAKE_CHANNEL, {
    name: 'autovibe-wake',
    onNotify: (subject) => {
      for (const subscriber of subscribers) subscriber(subject)
    },
    onError: (err) => log.warn({ err }, 'the wake-up connection broke'),
  })

  const subscribe = (onWake: (subject: string) => void) => {
    subscribers.add(onWake)
    return () => void subscribers.delete(onWake)
  }
  return {
    subscribe,
    next: (subject, timeoutMs, signal) =>
      new Promise((resolve) => {
        const done = () => {
          clearTimeout(timeout)
          unsubscribe()
          signal?.removeEventListener('abort', done)
          resolve()
        }
        const unsubscribe = subscribe((woken) => {
          if (woken === subject || woken === '') done()
        })
        const timeout = setTimeout(done, timeoutMs)
        signal?.addEventListener('abort', done, { once: true })
        if (signal?.aborted) done()
      }),
    close: () => listener.close(),
  }
}
