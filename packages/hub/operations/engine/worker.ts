/** One Hub's engine at work: claims what is due, advances it, sleeps until the next wake-up or due time. */
import type pg from 'pg'
import { advance } from './advance.ts'
import { type AskAtOnce, askAndBegin, askLater } from './at-once.ts'
import { claimNext, longKinds, nextDue } from './claim.ts'
import type { EngineContext, OperationRow } from './context.ts'
import { LONG_WORKERS_MAX, PARKED_RECHECK_MS, WORKERS_MAX } from './limits.ts'
import { unpark } from './wake.ts'
import type { WakeFeed } from './wake-feed.ts'

export interface Worker {
  /** Begins what is asked for at once when one of the workers is free. */
  readonly ask: AskAtOnce
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
  /** Requests that may begin an operation; each keeps a worker free for it. */
  const asking = new Set<Promise<unknown>>()
  const woken = new Set<string>()

  const nudge = () => {
    signalled = true
    ring?.()
  }
  const unsubscribe = wakes.subscribe((subject) => {
    woken.add(subject)
    nudge()
  })

  /** Counts an operation as under way until nothing more can be done with it now. */
  function track({ id, kind }: OperationRow, advancing: Promise<void>): Promise<void> {
    const isLong = long.has(kind)
    if (isLong) longActive++
    const work = advancing
      .catch((error) => engine.log.error({ operation: id, err: error }, 'could not record a step; the lease will run out'))
      .finally(() => {
        active.delete(work)
        if (isLong) longActive--
        nudge()
      })
    active.add(work)
    return work
  }

  async function loop(): Promise<void> {
    while (!stopped) {
      signalled = false
      try {
        if (woken.size > 0) {
          const subjects = [...woken]
          woken.clear()
          await unpark(pool, engine.runtime, subjects)
        }
        while (!stopped && active.size + asking.size < WORKERS_MAX) {
          const claimed = await claimNext(engine, { quickOnly: longActive >= LONG_WORKERS_MAX })
          if (!claimed) break
          void track(claimed.row, advance(engine, claimed.claim, claimed.row))
        }
        if (!stopped && !signalled) await sleep(active.size + asking.size < WORKERS_MAX ? await msUntilDue() : PARKED_RECHECK_MS)
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

  const ask: AskAtOnce = async (work) => {
    if (stopped || active.size + asking.size >= WORKERS_MAX) return askLater(engine.db)(work)
    const asked = askAndBegin(engine, work)
    // What it has handed back is due.
    asked.catch(nudge)
    const settled = asked.catch(() => undefined)
    asking.add(settled)
    try {
      const { answer, begun } = await asked
      return { answer, moved: begun && track(begun.row, advance(engine, begun.claim, begun.row, begun.reached)) }
    } finally {
      // Only a loop that found all workers taken has passed something over meanwhile.
      if (active.size + asking.size >= WORKERS_MAX) nudge()
      asking.delete(settled)
    }
  }

  const looping = loop()
  return {
    ask,
    stop: async () => {
      stopped = true
      stopping.abort()
      nudge()
      await looping
      await Promise.all(asking)
      await Promise.all(active)
      unsubscribe()
    },
  }
}
