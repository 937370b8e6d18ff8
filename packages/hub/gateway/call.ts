/** What every call of the gateway has in hand. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from 'pino'
import type { BoundedEvents } from '../database/bounded-events.ts'
import type { AdmissionTools } from './admission.ts'
import type { Caller } from './callers.ts'
import type { Client } from './client.ts'
import type { Leases } from './leases.ts'
import type { Upstream } from './upstream.ts'
import type { UpstreamHealth } from './upstream-health.ts'
import type { WindDown } from './wind-down.ts'
import type { Wire } from './wires/wire.ts'

export interface CallTools extends AdmissionTools {
  readonly logger: Logger
  readonly upstream: Upstream
  readonly leases: Leases
  readonly events: BoundedEvents
  readonly health: UpstreamHealth
  readonly windDown: WindDown
  /** Aborted when the gateway closes and no call may go on. */
  readonly closing: AbortSignal
}

export interface Call {
  readonly wire: Wire
  readonly caller: Caller
  readonly client: Client
  readonly req: IncomingMessage
  readonly res: ServerResponse
  /** The query as it came, with its question mark. */
  readonly search: string
}
