/** One Hub's engine at work: claims what is due, advances it, sleeps until the next wake-up or due time. */
import type pg from 'pg'
import { advance } from './advance.ts'
import { claimNext, longKinds, nextDue } from './claim.ts'
import type { EngineContext } from './context.ts'
import { LONG_WORKERS_MAX, PARKED_RECHECK_MS, WORKERS_MAX } from './limits.ts'
import { unpark } from './wake.ts'
import type { WakeFeed } from './wake-feed.ts'

export interface Worker {
  /** Stops claiming, hands back what is under way as it stands, and returns when nothing is advanced any more. */
  stop(): Promise<void>
}

const RECONNECT_MS = 500

/** Starts the engine. Wake-ups make it quick; without them it still looks every few seconds. */
export function startWorker(context: Omit<EngineContext, 'stopping'>, pool: pg.Pool, wakes: WakeFeed): Worker {
  const stopping = new AbortController()
  const engine: EngineContext = { ...context, stopping: stopping.signal }
  const long = new Set(longKinds(engine))
  let longActive = 0
  let stopped = false
  let signalled = true
  let ring: (() => void) | null = null
  const active = new Set<Promise<void>>()
  const woken = new Set<string>()

  const nudge = () => {
    signalled = true
    ring?.()
  }
  const unsubscribe = wakes.subscribe((subject) => {
    woken.add(subject)
    nudge()
  })

  async function loop(): Promise<void> {
    while (!stopped) {
      signalled = false
      try {
        if (woken.size > 0) {
          const subjects = [...woken]
          woken.clear()
          await unpark(pool, engine.runtime, subjects)
        }
        while (!stopped && active.size < WORKERS_MAX) {
          const claimed = await claimNext(engine, { quickOnly: longActive >= LONG_WORKERS_MAX })
          if (!claimed) break
          const isLong = long.has(claimed.row.kind)
          if (isLong) longActive++
          const work = advance(engine, claimed.claim, claimed.row)
            .catch((error) => engine.log.error({ operation: claimed.claim.id, err: error }, 'could not record a step; the lease will run out'))
            .finally(() => {
              active.delete(work)
              if (isLong) longActive--
              nudge()
            })
          active.add(work)
        }
        if (!stopped && !signalled) await sleep(active.size < WORKERS_MAX ? await msUntilDue() : PARKED_RECHECK_MS)
      } catch (error) {
        engine.log.error({ err: error }, 'the engine cannot reach the database')
        await sleep(RECONNECT_MS)
      }
    }
  }

  async function msUntilDue(): Promise<number> {
    const due = await nextDue(engine, { quickOnly: longActive >= LONG_WORKERS_MAX })
    if (!due) return PARKED_RECHECK_MS
    return Math.max(1, Math.min(PARKED_RECHECK_MS, due.getTime() - engine.runtime.now().getTime()))
  }

  function sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms)
      function done() {
        clearTimeout(timer)
        ring = null
        resolve()
      }
      ring = done
      if (signalled) done()
    })
  }

  const looping = loop()
  return {
    stop: async () => {
      stopped = true
      stopping.abort()
      nudge()
      await looping
      await Promise.all(active)
      unsubscribe()
    },
  }
}
