/** Keeps calls away from a provider that does not answer: while it is down they are refused at once, with nothing held, and one of them tries now and then. */
import { AutovibeError, type MachineId, type RunId } from '@autovibe/contract'
import { abandoned, answered, type Breaker, CLOSED, enter, failed, type Probe, waitsUntilMs } from '@autovibe/core/upstreams/breaker.ts'
import type { Runtime } from '../runtime.ts'
import type { Caller } from './callers.ts'
import { describeFailure, saysDown } from './upstream-failures.ts'

/** Says for how long it is of no use to ask again. */
export class UpstreamDown extends AutovibeError {
  readonly origin: string
  readonly provider: string
  readonly runId: RunId
  readonly retryAfterMs: number
  readonly since: Date

  constructor(caller: Caller, about: { readonly since: Date; readonly retryAt: Date; readonly retryAfterMs: number; readonly cause: string }) {
    const { provider, target } = caller
    const message = `The provider ${provider} has not answered at ${target.baseUrl} since ${about.since.toISOString()} (${about.cause}). It is tried again at ${about.retryAt.toISOString()}.`
    super('provider.down', message, { fix: 'Check the network and its address: autovibe provider list' })
    this.origin = target.origin
    this.provider = provider
    this.runId = caller.subject.runId
    this.retryAfterMs = about.retryAfterMs
    this.since = about.since
  }
}

/** One call on its way to a provider; the first word about it counts. */
export interface Visit {
  answered(): void
  failed(error: Error, isStream: boolean): void
}

/** Called when a provider answers again, for each machine that has heard that it did not. */
export type OnUp = (machineId: MachineId, about: { readonly provider: string; readonly since: Date }) => void

interface Origin {
  breaker: Breaker
  cause: string
  /** The runs that have been told of this outage, on which machine they are, and by what name they know the provider. */
  readonly told: Map<RunId, { readonly machineId: MachineId; readonly provider: string }>
}

export class UpstreamHealth {
  readonly #runtime: Runtime
  readonly #onUp: OnUp
  /** One for each origin that failed since it answered last; origins are set by admins. */
  readonly #origins = new Map<string, Origin>()
  #probes = 0

  constructor(runtime: Runtime, onUp: OnUp) {
    this.#runtime = runtime
    this.#onUp = onUp
  }

  /** Why this call cannot be made now; null when it may try. */
  refusal(caller: Caller): UpstreamDown | null {
    const known = this.#origins.get(caller.target.origin)
    if (!known || known.breaker.state === 'closed') return null
    const nowMs = this.#nowMs()
    const untilMs = waitsUntilMs(known.breaker, nowMs)
    if (untilMs === null) return null
    return new UpstreamDown(caller, {
      since: new Date(known.breaker.sinceMs),
      retryAt: new Date(untilMs),
      retryAfterMs: untilMs - nowMs,
      cause: known.cause,
    })
  }

  /** Notes that a call leaves for its provider; null when another one is trying already. */
  begin(caller: Caller): Visit | null {
    const { origin } = caller.target
    const entered = enter(this.#origins.get(origin)?.breaker ?? CLOSED, this.#nowMs(), ++this.#probes)
    if (!entered) return null
    this.#set(origin, entered.breaker)
    return this.#visit(origin, entered.probe)
  }

  /** True once for each run and outage: it has not been told yet. */
  tells(machineId: MachineId, { origin, provider, runId }: UpstreamDown): boolean {
    const told = this.#origins.get(origin)?.told
    if (!told || told.has(runId)) return false
    told.set(runId, { machineId, provider })
    return true
  }

  #visit(origin: string, probe: Probe): Visit {
    let ended = false
    return {
      answered: () => {
        if (ended) return
        ended = true
        this.#up(origin)
      },
      failed: (error, isStream) => {
        if (ended) return
        ended = true
        const breaker = this.#origins.get(origin)?.breaker ?? CLOSED
        if (saysDown(error, isStream)) this.#set(origin, failed(breaker, this.#nowMs(), probe), describeFailure(error))
        else this.#set(origin, abandoned(breaker, this.#nowMs(), probe))
      },
    }
  }

  #up(origin: string): void {
    const known = this.#origins.get(origin)
    if (!known) return
    const since = new Date(known.breaker.sinceMs)
    this.#set(origin, answered())
    const providers = new Map([...known.told.values()].map(({ machineId, provider }) => [machineId, provider]))
    for (const [machineId, provider] of providers) this.#onUp(machineId, { provider, since })
  }

  #set(origin: string, breaker: Breaker, cause?: string): void {
    if (breaker === CLOSED) {
      this.#origins.delete(origin)
      return
    }
    const known = this.#origins.get(origin) ?? { breaker, cause: '', told: new Map() }
    known.breaker = breaker
    known.cause = cause ?? known.cause
    this.#origins.set(origin, known)
  }

  #nowMs(): number {
    return this.#runtime.now().getTime()
  }
}
