/** Waits for a state of the world that nobody announces, by looking again and again. */
import { setTimeout as delay } from 'node:timers/promises'

const LOOK_EVERY_MS = 100

/** Resolves with the first answer that is not undefined; rejects with `what` when there is none within the time. */
export async function until<T>(what: string, timeoutMs: number, look: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const answer = await look()
    if (answer !== undefined) return answer
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`)
    await delay(LOOK_EVERY_MS)
  }
}
