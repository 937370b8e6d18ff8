/** Tells waiting requests that something was committed to `events`: one connection that listens, and a timer for what it may miss. */
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { DatabaseAddress } from './database.ts'

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
const RECONNECT_MS = { first: 50, most: 2000 }

/** Opens the feed; it goes on by itself when the connection is lost (`onError` is told each time), and wakes everyone when it is back. */
export async function openChangeFeed(address: DatabaseAddress, options: { readonly onError: (error: Error) => void }): Promise<OpenChangeFeed> {
  const closing = new AbortController()
  const waiting = new Set<() => void>()
  let gap: NodeJS.Timeout | undefined
  let wokenInGap = false

  const wakeAll = (): void => {
    const now = [...waiting]
    waiting.clear()
    for (const wake of now) wake()
  }
  const wake = (): void => {
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

  const safety = setInterval(wakeAll, SAFETY_MS).unref()
  let client = await listen(address, wake)
  const kept = keepListening()

  async function keepListening(): Promise<void> {
    let pauseMs = RECONNECT_MS.first
    while (!closing.signal.aborted) {
      const lost = await lossOf(client, closing.signal)
      if (closing.signal.aborted) return
      options.onError(lost)
      await client.end().catch(options.onError)
      while (!closing.signal.aborted) {
        try {
          client = await listen(address, wake)
          pauseMs = RECONNECT_MS.first
          // Whatever was committed meanwhile was not heard.
          wake()
          break
        } catch (error) {
          options.onError(error as Error)
          await delay(pauseMs, undefined, { signal: closing.signal }).catch(() => undefined)
          pauseMs = Math.min(pauseMs * 2, RECONNECT_MS.most)
        }
      }
    }
  }

  return {
    next(signal) {
      return new Promise((resolve) => {
        const done = (): void => {
          waiting.delete(done)
          signal.removeEventListener('abort', done)
          resolve()
        }
        if (signal.aborted || closing.signal.aborted) return resolve()
        signal.addEventListener('abort', done, { once: true })
        waiting.add(done)
      })
    },
    async close() {
      closing.abort()
      clearInterval(safety)
      clearTimeout(gap)
      wakeAll()
      await kept
      await client.end()
    },
  }
}

async function listen(address: DatabaseAddress, wake: () => void): Promise<pg.Client> {
  const client = new pg.Client({ ...address, application_name: 'autovibe-hub-events', connectionTimeoutMillis: 5000, keepAlive: true })
  // Errors are awaited by lossOf; an unheard 'error' event would end the process.
  client.on('error', () => undefined)
  client.on('notification', wake)
  try {
    await client.connect()
    await client.query(`listen ${CHANNEL}`)
    return client
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
}

function lossOf(client: pg.Client, closing: AbortSignal): Promise<Error> {
  return new Promise((resolve) => {
    const onEnd = (): void => resolve(new Error('the connection that listens for events ended'))
    client.once('error', resolve)
    client.once('end', onEnd)
    closing.addEventListener('abort', onEnd, { once: true })
  })
}
