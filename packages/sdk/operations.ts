/** Operations: durable multi-step changes, their progress, and what a person may do about them. */
import type { Operation, OperationQuery } from '@autovibe/contract'
import { type List, list } from './pages.ts'
import type { CallOptions, Transport } from './transport.ts'
import { type WaitOptions, waitFor } from './waiting.ts'

/** `stuck` counts as an end of waiting: only a person moves it on. */
const ENDED: ReadonlySet<Operation['state']> = new Set(['done', 'failed', 'cancelled', 'stuck'])

export class Operations {
  readonly #transport: Transport
  constructor(transport: Transport) {
    this.#transport = transport
  }

  list(query: Partial<OperationQuery> = {}, options?: CallOptions): List<Operation> {
    return list(this.#transport, '/operations', query, options)
  }

  get(id: string, options?: CallOptions): Promise<Operation> {
    return this.#transport.json('GET', at(id), options)
  }

  wait(id: string, options?: WaitOptions): Promise<Operation> {
    return waitFor<Operation>(this.#transport, `${at(id)}/wait`, 'ended', (operation) => ENDED.has(operation.state), options)
  }

  cancel(id: string, options?: CallOptions): Promise<Operation> {
    return this.#transport.json('POST', `${at(id)}/cancel`, { ...options, body: {} })
  }

  /** Tries a stuck operation's undo again. */
  retry(id: string, options?: CallOptions): Promise<Operation> {
    return this.#transport.json('POST', `${at(id)}/retry`, { ...options, body: {} })
  }
}

const at = (id: string): string => `/operations/${encodeURIComponent(id)}`
