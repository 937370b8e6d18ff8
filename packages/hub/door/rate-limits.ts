/** What a machine may ask of the door over time, in requests and in bytes; a machine that says too much waits, the database does not. */
import type { IncomingHttpHeaders } from 'node:http'
import { AutovibeError, DOOR_LIMITS, type MachineId } from '@autovibe/contract'
import type { Runtime } from '../runtime.ts'
import { TokenBucket } from './token-bucket.ts'

const REQUESTS = { perSecond: DOOR_LIMITS.requestsPerSecond, burst: DOOR_LIMITS.requestsBurst }
const BYTES = { perSecond: DOOR_LIMITS.bytesPerSecond, burst: DOOR_LIMITS.bytesBurst }
/** A boot registers once, and again when the Hub has forgotten it; each new boot is kept for good, so it counts as a second's worth of requests. */
const REGISTRATION = DOOR_LIMITS.requestsPerSecond

export interface RateLimits {
  /** Answers 0 when the machine may ask this of the route now, else the milliseconds that it shall wait. Nothing of the body is read for it. */
  waitMs(machineId: MachineId, route: string | undefined, headers: IncomingHttpHeaders): number
  /** Gives back what a registration took: its boot was the Hub's own doing. */
  forgiveRegistration(machineId: MachineId): void
  /** The machines that are remembered. */
  readonly size: number
}

interface Buckets {
  readonly requests: TokenBucket
  readonly bytes: TokenBucket
}

export function createRateLimits(runtime: Pick<Runtime, 'now'>): RateLimits {
  const machines = new Map<MachineId, Buckets>()

  /** A bucket that is full again is forgotten: of a machine whose socket is closed nothing stays, and one that comes back gains nothing by it. */
  function forgetRested(nowMs: number): void {
    for (const [machineId, { requests, bytes }] of machines) if (requests.isFull(nowMs) && bytes.isFull(nowMs)) machines.delete(machineId)
  }

  function bucketsOf(machineId: MachineId, nowMs: number): Buckets {
    const known = machines.get(machineId)
    if (known) return known
    forgetRested(nowMs)
    const buckets = { requests: new TokenBucket(REQUESTS, nowMs), bytes: new TokenBucket(BYTES, nowMs) }
    machines.set(machineId, buckets)
    return buckets
  }

  return {
    waitMs(machineId, route, headers) {
      const nowMs = runtime.now().getTime()
      const { requests, bytes } = bucketsOf(machineId, nowMs)
      return requests.take(route === '/door/register' ? REGISTRATION : 1, nowMs) || bytes.take(bodyBytes(headers), nowMs)
    },
    forgiveRegistration(machineId) {
      machines.get(machineId)?.requests.giveBack(REGISTRATION)
    },
    get size() {
      return machines.size
    },
  }
}

/** The refusal, and the whole seconds of its Retry-After. */
export function rateLimited(waitMs: number): { readonly error: AutovibeError; readonly retryAfterSeconds: number } {
  const retryAfterSeconds = Math.max(1, Math.ceil(waitMs / 1000))
  const error = new AutovibeError('request.rate_limited', 'This machine asks more of its Hub than the door lets through.', {
    fix: `Ask again in ${retryAfterSeconds} s.`,
  })
  return { error, retryAfterSeconds }
}

/** What the request says of its body's size; one that does not say counts as the largest. */
function bodyBytes(headers: IncomingHttpHeaders): number {
  if (headers['transfer-encoding'] !== undefined) return DOOR_LIMITS.bodyBytes
  const told = Number(headers['content-length'] ?? 0)
  return Number.isFinite(told) ? Math.min(told, DOOR_LIMITS.bodyBytes) : DOOR_LIMITS.bodyBytes
}
