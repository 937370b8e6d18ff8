/** Runs: one prompt on one machine, in steps. */
import type { CreatedRun, CreateRun, Run, RunQuery, Step } from '@autovibe/contract'
import { type List, list } from './pages.ts'
import type { CallOptions, Transport } from './transport.ts'
import { type WaitOptions, waitFor } from './waiting.ts'

const REACHED: Record<'running' | 'ended', ReadonlySet<Run['state']>> = {
  running: new Set(['running', 'paused', 'succeeded', 'failed', 'cancelled']),
  ended: new Set(['succeeded', 'failed', 'cancelled']),
}

export class Runs {
  readonly #transport: Transport
  constructor(transport: Transport) {
    this.#transport = transport
  }

  create(run: CreateRun, options?: CallOptions): Promise<CreatedRun> {
    return this.#transport.json('POST', '/runs', { ...options, body: run })
  }

  list(query: Partial<RunQuery> = {}, options?: CallOptions): List<Run> {
    return list(this.#transport, '/runs', query, options)
  }

  get(id: string, options?: CallOptions): Promise<Run> {
    return this.#transport.json('GET', at(id), options)
  }

  /** The steps so far, oldest first. */
  steps(id: string, options?: CallOptions): List<Step> {
    return list(this.#transport, `${at(id)}/steps`, {}, options)
  }

  cancel(id: string, options?: CallOptions): Promise<Run> {
    return this.#transport.json('POST', `${at(id)}/cancel`, { ...options, body: {} })
  }

  /** Lets a paused run go on, for instance after its budget was raised. */
  resume(id: string, options?: CallOptions): Promise<Run> {
    return this.#transport.json('POST', `${at(id)}/resume`, { ...options, body: {} })
  }

  /** The run once it is so, or has gone past it: look at its state. */
  wait(id: string, state: 'running' | 'ended', options?: WaitOptions): Promise<Run> {
    return waitFor<Run>(this.#transport, `${at(id)}/wait`, state, (run) => REACHED[state].has(run.state), options)
  }
}

const at = (id: string): string => `/runs/${encodeURIComponent(id)}`
