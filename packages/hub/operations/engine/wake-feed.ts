/** One listening connection for all wake-ups of this process, opened again whenever it breaks. */
import pg from 'pg'
import type { DatabaseAddress } from '../../database/database.ts'
import type { EngineLog } from './context.ts'
import { WAKE_CHANNEL } from './wake.ts'

export interface WakeFeed {
  /** Calls back with the machine or operation of each wake-up; the answer ends it. */
  subscribe(onWake: (subject: string) => void): () => void
  /** Resolves at the next wake-up of this subject, or after `timeoutMs`, or when the signal is raised. Nothing is lost if the row is read after subscribing. */
  next(subject: string, timeoutMs: number, signal?: AbortSignal): Promise<void>
  close(): Promise<void>
}

const RECONNECT_MS = 500

export function openWakeFeed(address: DatabaseAddress, log: EngineLog): WakeFeed {
  const subscribers = new Set<(subject: string) => void>()
  let client: pg.Client | null = null
  let closed = false
  let timer: NodeJS.Timeout | undefined

  const again = (ended: pg.Client) => {
    if (client !== ended) return
    client = null
    if (!closed) timer = setTimeout(connect, RECONNECT_MS)
  }
  const connect = () => {
    const next = new pg.Client({ ...address, application_name: 'autovibe-wake' })
    client = next
    next.on('notification', ({ payload }) => {
      for (const subscriber of subscribers) subscriber(payload ?? '')
    })
    next.on('error', (error) => log.warn({ err: error }, 'the wake-up connection broke'))
    next.on('end', () => again(next))
    next
      .connect()
      .then(() => next.query(`listen ${WAKE_CHANNEL}`))
      .catch((error) => {
        if (!closed) log.warn({ err: error }, 'could not listen for wake-ups')
        again(next)
        return next.end()
      })
  }
  connect()

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
          if (woken === subject) done()
        })
        const timeout = setTimeout(done, timeoutMs)
        signal?.addEventListener('abort', done, { once: true })
        if (signal?.aborted) done()
      }),
    close: async () => {
      closed = true
      clearTimeout(timer)
      await client?.end()
    },
  }
}
