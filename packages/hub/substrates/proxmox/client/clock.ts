/** Time and chance of the client, so that a test can own them. */
import { setTimeout as delay } from 'node:timers/promises'

export interface Clock {
  nowMs(): number
  /** From 0 to 1, without 1. */
  chance(): number
  /** Rejects with the signal's reason when it is aborted. */
  pause(ms: number, signal: AbortSignal | undefined): Promise<void>
}

export const systemClock: Clock = {
  nowMs: Date.now,
  chance: Math.random,
  pause: async (ms, signal) => {
    signal?.throwIfAborted()
    await delay(ms, undefined, signal ? { signal } : {}).catch((error: unknown) => {
      signal?.throwIfAborted()
      throw error
    })
  },
}
