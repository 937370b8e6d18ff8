/** How long to wait before asking the Hub again: doubling, capped, spread, so that a Hub that comes back is not met by all machines at once. */
import { setTimeout as sleep } from 'node:timers/promises'

export interface BackoffLimits {
  readonly firstMs: number
  readonly mostMs: number
}

export const HUB_BACKOFF: BackoffLimits = { firstMs: 50, mostMs: 5_000 }

/** The wait in ms before the attempt after `attempt` failed ones (0 is the first failure); `chance` is in [0, 1). */
export function backoffMs(limits: BackoffLimits, attempt: number, chance: number): number {
  const full = Math.min(limits.mostMs, limits.firstMs * 2 ** Math.min(attempt, 30))
  return full / 2 + (full / 2) * chance
}

/** Waits that long; rejects with the signal's reason when it is aborted. */
export async function waitBackoff(limits: BackoffLimits, attempt: number, signal?: AbortSignal): Promise<void> {
  await pause(backoffMs(limits, attempt, Math.random()), signal)
}

export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  try {
    await sleep(ms, undefined, signal ? { signal } : {})
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}
