/** What a Hub has begun and must end again: last begun first, none skipped for another's failure, none waited for without end. */
import { setTimeout as delay } from 'node:timers/promises'
import { AutovibeError } from '@autovibe/contract'
import type { EngineLog } from './operations/engine/context.ts'

export interface Ending {
  /** Remembers how a part is ended; `name` is for the log. */
  add(name: string, finish: () => Promise<unknown>): void
  /** Ends every part, each once, within about `withinMs`. Never throws: answers what went wrong, which has been logged. */
  run(withinMs: number): Promise<readonly unknown[]>
}

const EACH_MS = 10_000
/** What a part gets even when the others have used up the time: enough to remove a file or close a socket. */
const LEAST_MS = 250

export function createEnding(log: EngineLog): Ending {
  const parts: { name: string; finish: () => Promise<unknown> }[] = []
  return {
    add: (name, finish) => void parts.push({ name, finish }),
    async run(withinMs) {
      const deadline = performance.now() + withinMs
      const failures: unknown[] = []
      for (let part = parts.pop(); part; part = parts.pop()) {
        const leftMs = Math.max(LEAST_MS, Math.min(EACH_MS, deadline - performance.now()))
        try {
          await within(leftMs, part.name, part.finish())
        } catch (err) {
          failures.push(err)
          log.error({ err, part: part.name }, 'a part of the Hub did not end in good order and was left')
        }
      }
      return failures
    },
  }
}

/** What `work` answers, or `operation.deadline` when it does not within `ms`; the work itself goes on. */
export async function within<T>(ms: number, name: string, work: Promise<T>): Promise<T> {
  const timer = new AbortController()
  const timeout = async (): Promise<never> => {
    await delay(ms, undefined, { signal: timer.signal })
    throw new AutovibeError('operation.deadline', `The end of ${name} took longer than ${Math.round(ms)} ms.`)
  }
  try {
    return await Promise.race([work, timeout()])
  } finally {
    timer.abort()
  }
}
