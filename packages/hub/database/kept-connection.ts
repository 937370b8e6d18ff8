/** One connection that is there for as long as the Hub runs: set up anew whenever it is lost, asked for a sign of life, closed for good. */
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { DatabaseAddress } from './database.ts'

export interface KeptConnection {
  /** Resolves when it is first set up; rejects with what the first try met, after which it goes on trying until it is closed. */
  readonly ready: Promise<void>
  /** Ends it, within a few seconds even when the server says nothing. */
  close(): Promise<void>
}

export interface KeptConnectionOptions {
  /** How the server names it. */
  readonly name: string
  /** Runs on each new connection; one that cannot be set up is ended and tried again. */
  readonly setUp: (client: pg.Client) => Promise<unknown>
  /** Called each time it is set up, the first included. */
  readonly onReady?: () => void
  /** Told of each loss and each failed try. */
  readonly onError: (error: Error) => void
}

const RETRY_MS = { first: 50, most: 2_000 }
/** A peer that vanished without a word is noticed by this question; TCP alone would take minutes. */
const BEAT_MS = 10_000
const QUERY_TIMEOUT_MS = 15_000
const CONNECT_TIMEOUT_MS = 5_000
const GOODBYE_MS = 2_000

/** Opens it and goes on by itself until it is closed. */
export function keepConnection(address: DatabaseAddress, options: KeptConnectionOptions): KeptConnection {
  const closing = new AbortController()
  const ready = Promise.withResolvers<void>()
  // Whoever does not wait for it hears of failures through `onError`.
  ready.promise.catch(() => undefined)
  let current: pg.Client | undefined
  const kept = keep()

  async function keep(): Promise<void> {
    let pauseMs = RETRY_MS.first
    while (!closing.signal.aborted) {
      try {
        await hold(() => {
          pauseMs = RETRY_MS.first
          ready.resolve()
          options.onReady?.()
        })
      } catch (error) {
        if (closing.signal.aborted) break
        ready.reject(error)
        options.onError(error as Error)
      }
      await delay(pauseMs, undefined, { signal: closing.signal }).catch(() => undefined)
      pauseMs = Math.min(pauseMs * 2, RETRY_MS.most)
    }
    ready.reject(new Error('the connection was closed before it was there'))
  }

  /** Rejects when the connection is lost or cannot be set up. */
  async function hold(onReady: () => void): Promise<never> {
    const client = new pg.Client({
      ...address,
      application_name: options.name,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
      keepAlive: true,
    })
    const { promise: lost, reject: lose } = Promise.withResolvers<never>()
    // Errors of a connection that nobody waits on must not end the process.
    lost.catch(() => undefined)
    client.on('error', lose)
    client.on('end', () => lose(new Error('the connection to the database ended')))
    current = client
    let beat: NodeJS.Timeout | undefined
    try {
      await Promise.race([client.connect().then(() => options.setUp(client)), lost])
      beat = setInterval(() => client.query('select 1').catch(lose), BEAT_MS)
      onReady()
      return await lost
    } finally {
      clearInterval(beat)
      await goodbye(client)
    }
  }

  return {
    ready: ready.promise,
    async close() {
      closing.abort()
      if (current) await goodbye(current)
      await kept
    },
  }
}

async function goodbye(client: pg.Client): Promise<void> {
  // An error here has been told as the loss already.
  await Promise.race([client.end().catch(() => undefined), delay(GOODBYE_MS, undefined, { ref: false })])
}
