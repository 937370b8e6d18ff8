/** Every bound of the gateway in one place. Times in milliseconds. */
export const LIMITS = {
  /** The vendor's own limit of a request. */
  requestBytes: 32 * 1024 * 1024,
  /** A whole JSON answer; 128,000 tokens of output are about 1 MiB. */
  answerBytes: 32 * 1024 * 1024,
  errorBytes: 1024 * 1024,
  /** One line of an event stream. */
  eventLineBytes: 4 * 1024 * 1024,
  callsPerMachine: 32,
  refusalEventsPerMinute: 20,
  connectMs: 5_000,
  firstByteMs: 600_000,
  /** The provider's count of a call's input, and its answer: one number. */
  countMs: 3_000,
  countBytes: 16 * 1024,
  /** Silence in mid-stream, of the upstream or of a reader that does not read. */
  idleMs: 300_000,
  /** How long an upstream is read on for its exact figures after the client has gone. */
  drainMs: 120_000,
  /** How long a call waits for money that other calls hold. */
  admissionMs: 300_000,
  leaseMs: 120_000,
  /** How long `close` lets calls come to their end. */
  closeMs: 10_000,
} as const

if (LIMITS.leaseMs < 3 * LIMITS.connectMs) throw new Error('a lease must outlive a slow connect')
