/**
 * Whether a provider is asked at all: after some failures in a row nobody is, then one call at a time tries again. Times are milliseconds of one clock, which
 * may jump.
 */

export const BREAKER = {
  /** Failures in a row after which nobody is let in. */
  failures: 3,
  /** How long nobody is let in; doubled by each try that fails, up to the most. */
  firstPauseMs: 5_000,
  mostPauseMs: 60_000,
  /** A try without a word for so long no longer keeps the next one out: a model may think for minutes before it says anything. */
  probeMs: 30_000,
} as const

export type Breaker =
  /** Everyone is let in. `sinceMs`: the first of the failures in a row. */
  | { readonly state: 'closed'; readonly failures: number; readonly sinceMs: number }
  /** Nobody is let in before `retryAtMs`. */
  | { readonly state: 'open'; readonly sinceMs: number; readonly failedProbes: number; readonly retryAtMs: number }
  /** One call tries. */
  | { readonly state: 'half-open'; readonly sinceMs: number; readonly failedProbes: number; readonly probe: number; readonly probeUntilMs: number }

export const CLOSED: Breaker = { state: 'closed', failures: 0, sinceMs: 0 }

/** Which call a word is about: the number of a try, or null for a call that was let in while everyone was. */
export type Probe = number | null

/** When the next call is let in; null when one is now. */
export function waitsUntilMs(breaker: Breaker, nowMs: number): number | null {
  if (breaker.state === 'closed') return null
  const [untilMs, mostMs] = breaker.state === 'open' ? [breaker.retryAtMs, BREAKER.mostPauseMs] : [breaker.probeUntilMs, BREAKER.probeMs]
  // A clock that was set back must not keep anyone out for longer than any pause is.
  return untilMs > nowMs && untilMs - nowMs <= mostMs ? untilMs : null
}

/** Lets a call in, as a try when there were failures; null when nobody is let in. `probe` is a number not used before. */
export function enter(breaker: Breaker, nowMs: number, probe: number): { readonly breaker: Breaker; readonly probe: Probe } | null {
  if (breaker.state === 'closed') return { breaker, probe: null }
  if (waitsUntilMs(breaker, nowMs) !== null) return null
  const { sinceMs, failedProbes } = breaker
  return { breaker: { state: 'half-open', sinceMs, failedProbes, probe, probeUntilMs: nowMs + BREAKER.probeMs }, probe }
}

/** After any answer, whoever got it: the provider lives. */
export const answered = (): Breaker => CLOSED

/** After a call that the provider did not answer. What was let in before it was known to be down says nothing new. */
export function failed(breaker: Breaker, nowMs: number, probe: Probe): Breaker {
  switch (breaker.state) {
    case 'closed': {
      const failures = breaker.failures + 1
      const sinceMs = breaker.failures === 0 ? nowMs : breaker.sinceMs
      if (failures < BREAKER.failures) return { state: 'closed', failures, sinceMs }
      return { state: 'open', sinceMs, failedProbes: 0, retryAtMs: nowMs + BREAKER.firstPauseMs }
    }
    case 'open':
      return breaker
    case 'half-open': {
      if (probe !== breaker.probe) return breaker
      const failedProbes = breaker.failedProbes + 1
      const pauseMs = Math.min(BREAKER.firstPauseMs * 2 ** failedProbes, BREAKER.mostPauseMs)
      return { state: 'open', sinceMs: breaker.sinceMs, failedProbes, retryAtMs: nowMs + pauseMs }
    }
  }
}

/** After a call that ended without telling anything about the provider: the next one tries in its place. */
export function abandoned(breaker: Breaker, nowMs: number, probe: Probe): Breaker {
  if (breaker.state !== 'half-open' || probe !== breaker.probe) return breaker
  return { state: 'open', sinceMs: breaker.sinceMs, failedProbes: breaker.failedProbes, retryAtMs: nowMs }
}
