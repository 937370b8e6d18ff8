/** The bounds of the client, with the reason of each. */
import type { BackoffLimits } from '@autovibe/core/proxmox/backoff.ts'

export interface ClientLimits {
  readonly connectMs: number
  /** To the first byte of an answer: Proxmox's own proxy gives up on a node after 30 s. */
  readonly headersMs: number
  /** Between two pieces of a body. */
  readonly bodyMs: number
  /** Of a whole answer, from the first byte sent. */
  readonly answerMs: number
  /** Requests in flight per door: pveproxy has three workers. */
  readonly inFlight: number
  /** Requests that wait for a door; beyond them calls are refused. */
  readonly waiting: number
  /** Of one answer; a thousand VMs are under one MiB. */
  readonly mostBodyBytes: number
  /** How often a call goes out again for what is not a lock. */
  readonly repeats: number
  readonly repeat: BackoffLimits
  /** Locks: of a clone of a large disk, of a backup. */
  readonly lock: BackoffLimits
  readonly lockDeadlineMs: number
  /** How long a door that did not answer is left out. */
  readonly leaveOutMs: number
  readonly poll: BackoffLimits
  /** Lines of a task's log that an error tells. */
  readonly logTail: number
}

export const LIMITS: ClientLimits = {
  connectMs: 5_000,
  headersMs: 40_000,
  bodyMs: 20_000,
  answerMs: 120_000,
  inFlight: 8,
  waiting: 1_000,
  mostBodyBytes: 16 * 1024 * 1024,
  repeats: 5,
  repeat: { firstMs: 200, mostMs: 5_000 },
  lock: { firstMs: 500, mostMs: 8_000 },
  lockDeadlineMs: 120_000,
  leaveOutMs: 30_000,
  poll: { firstMs: 200, mostMs: 3_000 },
  logTail: 20,
}
