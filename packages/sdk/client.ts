/** The client of a Hub: one property per resource, each call with an AbortSignal, each failure an AutovibeError. */
import type { Event, Page } from '@autovibe/contract'
import { Archives } from './archives.ts'
import { Budgets, Usage } from './budgets.ts'
import { Checkpoints } from './checkpoints.ts'
import { type EventFilter, eventPage, type StreamOptions, streamEvents } from './events.ts'
import { Hub, Keys, Providers } from './hub.ts'
import { Machines } from './machines.ts'
import { Operations } from './operations.ts'
import { Projects } from './projects.ts'
import { Runs } from './runs.ts'
import { Substrates } from './substrates.ts'
import { type AutovibeOptions, type CallOptions, Transport } from './transport.ts'

export class Autovibe {
  readonly projects: Projects
  readonly machines: Machines
  readonly runs: Runs
  readonly checkpoints: Checkpoints
  readonly archives: Archives
  readonly budgets: Budgets
  readonly usage: Usage
  readonly operations: Operations
  readonly providers: Providers
  readonly substrates: Substrates
  readonly keys: Keys
  readonly hub: Hub
  readonly #transport: Transport

  constructor(options: AutovibeOptions) {
    const transport = new Transport(options)
    this.#transport = transport
    this.projects = new Projects(transport)
    this.machines = new Machines(transport)
    this.runs = new Runs(transport)
    this.checkpoints = new Checkpoints(transport)
    this.archives = new Archives(transport)
    this.budgets = new Budgets(transport)
    this.usage = new Usage(transport)
    this.operations = new Operations(transport)
    this.providers = new Providers(transport)
    this.substrates = new Substrates(transport)
    this.keys = new Keys(transport)
    this.hub = new Hub(transport)
  }

  /** Everything that happens, as it happens; goes on by itself when the Hub was away. */
  events(options?: StreamOptions): AsyncGenerator<Event, void, void> {
    return streamEvents(this.#transport, options)
  }

  /** Stored events, one page at a time. */
  eventPage(filter: EventFilter & { readonly limit?: number } = {}, options?: CallOptions): Promise<Page<Event>> {
    return eventPage(this.#transport, filter, options?.signal)
  }
}
