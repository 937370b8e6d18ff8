/** What every call of the gateway has in hand. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { PriceTable } from '@autovibe/core/budgets/prices.ts'
import type { Logger } from 'pino'
import type { AdmissionTools } from './admission.ts'
import type { CallEvents } from './call-events.ts'
import type { Caller } from './caller.ts'
import type { Client } from './client.ts'
import type { Upstream } from './upstream.ts'

export interface CallTools extends AdmissionTools {
  readonly logger: Logger
  readonly upstream: Upstream
  readonly prices: PriceTable
  readonly events: CallEvents
  /** Aborted when the gateway closes and no call may go on. */
  readonly closing: AbortSignal
}

export interface Call {
  readonly caller: Caller
  readonly client: Client
  readonly req: IncomingMessage
  readonly res: ServerResponse
  /** The query as it came, with its question mark. */
  readonly search: string
}
