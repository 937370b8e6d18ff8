/** Waits for a state beyond the Hub's own limit of 60 seconds, and through a Hub that restarts. */
import { AutovibeError } from '@autovibe/contract'
import { type CallOptions, pause, type Transport } from './transport.ts'

export interface WaitOptions extends CallOptions {
  /** Gives up with `operation.deadline`; without it, waits as long as it takes. */
  readonly timeoutMs?: number | undefined
  /** How long the Hub may be away before the wait fails; 60 s when left out. */
  readonly outageMs?: number | undefined
}

/** The seconds that one request asks for; below the server's 60 so that proxies with a one-minute limit do not cut it. */
const REQUEST_SECONDS = 45
const RETRY_MS = 250

/** Asks `path` until `reached` holds for what it answers. */
export async function waitFor<T>(transport: Transport, path: string, state: string, reached: (item: T) => boolean, options: WaitOptions = {}): Promise<T> {
  const startedAt = performance.now()
  const leftMs = () => (options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : options.timeoutMs - (performance.now() - startedAt))
  let silentSince: number | undefined
  for (;;) {
    const timeout = Math.max(0, Math.min(REQUEST_SECONDS, leftMs() / 1000))
    const askedAt = performance.now()
    try {
      const item = await transport.json<T>('GET', path, { signal: options.signal, query: { for: state, timeout: Math.round(timeout * 1000) / 1000 } })
      if (reached(item)) return item
      silentSince = undefined
      if (leftMs() <= 0)
        throw new AutovibeError('operation.deadline', `It was not ${state} within ${Math.round((options.timeoutMs ?? 0) / 1000)} s.`, { retryable: true })
      // An early answer that is not the wanted one must not become a busy loop.
      if (performance.now() - askedAt < timeout * 500) await pause(RETRY_MS, options.signal)
    } catch (thrown) {
      if (!(thrown instanceof AutovibeError) || !isOutage(thrown)) throw thrown
      silentSince ??= performance.now()
      if (performance.now() - silentSince > (options.outageMs ?? 60_000) || leftMs() <= 0) throw thrown
      await pause(RETRY_MS, options.signal)
    }
  }
}

const isOutage = (error: AutovibeError): boolean => error.code === 'hub.unreachable' || error.code === 'hub.database'
