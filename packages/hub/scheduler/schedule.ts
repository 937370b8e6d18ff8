/** Runs the Hub's periodic work: one at a time each, never overlapping, quiet at the end. */
import type { EngineLog } from '../operations/engine/context.ts'

export interface Schedule {
  stop(): Promise<void>
}

/** Calls `work` every `everyMs` after the last call ended; what it throws is logged and the next call comes all the same. */
export function every(everyMs: number, name: string, log: EngineLog, work: () => Promise<void>): Schedule {
  let stopped = false
  let timer: NodeJS.Timeout
  let running = Promise.resolve()
  const tick = () => {
    running = work()
      .catch((error) => log.error({ err: error, job: name }, 'a periodic job failed'))
      .then(() => {
        if (!stopped) timer = setTimeout(tick, everyMs)
      })
  }
  timer = setTimeout(tick, everyMs)
  return {
    stop: async () => {
      stopped = true
      clearTimeout(timer)
      await running
    },
  }
}
