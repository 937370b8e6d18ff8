/** Every error the product can answer with: one table of codes, one class, one wire form (RFC 9457 problem+json). */
import { z } from 'zod'

/** The exit codes of the command. */
export const EXIT = { ok: 0, failed: 1, usage: 2, retryable: 3, auth: 4, notFound: 5, conflict: 6, budget: 7, human: 8, interrupted: 130 } as const
export type ExitName = keyof typeof EXIT

interface ErrorKind {
  /** HTTP status of the answer. */
  readonly status: number
  /** Short public title, the same for every occurrence. */
  readonly title: string
  /** Whether the same request may succeed later without a change. */
  readonly retryable: boolean
  readonly exit: ExitName
}

const kind = (status: number, title: string, exit: ExitName, retryable = false): ErrorKind => ({ status, title, retryable, exit })

export const ERRORS = {
  'request.invalid': kind(400, 'The request is not valid', 'usage'),
  'request.method_not_allowed': kind(405, 'The method is not allowed here', 'usage'),
  'request.media_type': kind(415, 'The content type is not supported', 'usage'),
  'request.too_large': kind(413, 'The request is too large', 'usage'),
  'request.precondition_required': kind(428, 'If-Match is required', 'usage'),
  'request.precondition_failed': kind(412, 'The resource has changed', 'conflict'),
  'request.rate_limited': kind(429, 'Too many requests', 'retryable', true),
  'auth.missing': kind(401, 'No valid key', 'auth'),
  'auth.forbidden': kind(403, 'Not allowed', 'auth'),
  not_found: kind(404, 'Not found', 'notFound'),
  'conflict.state': kind(409, 'Not possible in this state', 'conflict'),
  'conflict.busy': kind(409, 'Another operation is under way', 'retryable', true),
  'conflict.name_taken': kind(409, 'The name is taken', 'conflict'),
  'idempotency.key_reused': kind(422, 'The idempotency key was used for another request', 'conflict'),
  'idempotency.in_flight': kind(409, 'The first request with this idempotency key is under way', 'retryable', true),
  'budget.exhausted': kind(402, 'The budget is used up', 'budget'),
  'budget.insufficient': kind(402, 'The budget does not suffice', 'budget'),
  'model.unpriced': kind(400, 'The model has no known price', 'usage'),
  'model.unbounded': kind(400, 'The cost of the call has no upper bound', 'usage'),
  'model.not_allowed': kind(403, 'The project does not allow the model', 'usage'),
  'provider.unknown': kind(400, 'The provider is not known', 'usage'),
  'provider.key_missing': kind(400, 'The provider has no key', 'usage'),
  'provider.key_refused': kind(400, 'The provider refused the key', 'auth'),
  'provider.unavailable': kind(502, 'The provider does not answer', 'retryable', true),
  'provider.down': kind(503, 'The provider is down', 'retryable', true),
  'egress.not_allowed': kind(403, 'The project does not allow the destination', 'usage'),
  'egress.address_refused': kind(403, 'No machine may reach the address', 'usage'),
  'egress.unreachable': kind(502, 'The destination does not answer', 'retryable', true),
  'project.source_invalid': kind(400, 'The source cannot be imported', 'usage'),
  'agent.unknown': kind(400, 'The agent is not known', 'usage'),
  'agent.not_installed': kind(400, 'The agent is not installed', 'usage'),
  'run.events_full': kind(413, 'The run has told all that is kept of one run', 'failed'),
  'machine.limit_reached': kind(409, 'The machine has reached a limit', 'failed'),
  'agent.crashed': kind(500, 'The agent ended without a result', 'failed'),
  'exec.unanswered': kind(504, 'The machine did not take up the command', 'retryable', true),
  'exec.not_started': kind(400, 'The command could not be started', 'failed'),
  'exec.broken': kind(502, 'The connection to the command broke', 'failed'),
  'exec.limit': kind(408, 'The command reached a limit of time', 'failed'),
  'isolation.too_weak': kind(400, 'The isolation of this host is too weak for a real agent', 'human'),
  'substrate.unavailable': kind(503, 'The substrate does not answer', 'retryable', true),
  'substrate.away': kind(503, 'The substrate cannot be worked with just now', 'retryable', true),
  'substrate.failed': kind(500, 'The substrate could not do it', 'failed'),
  'substrate.disk_full': kind(507, 'The disk is full', 'failed'),
  'substrate.snapshot_gone': kind(410, 'The snapshot no longer exists', 'failed'),
  'checkpoint.not_verified': kind(409, 'The checkpoint is not verified', 'conflict'),
  'checkpoint.gone': kind(410, 'The checkpoint has expired', 'notFound'),
  'checkpoint.corrupt': kind(500, 'The checkpoint is damaged', 'failed'),
  'operation.cancelled': kind(409, 'The operation was cancelled', 'interrupted'),
  'operation.deadline': kind(504, 'A step did not end in time', 'failed'),
  'operation.stuck': kind(500, 'The operation could not be undone', 'human'),
  'archive.invalid': kind(400, 'The archive cannot be imported', 'usage'),
  'export.refused': kind(409, 'The files cannot become a commit', 'conflict'),
  'apply.conflict': kind(409, 'The changes do not apply cleanly', 'conflict'),
  'hub.unreachable': kind(503, 'The Hub does not answer', 'retryable', true),
  'hub.already_running': kind(409, 'A Hub already runs on this data directory', 'conflict'),
  'hub.database_taken': kind(409, 'Another Hub works on this database', 'conflict'),
  'hub.port_in_use': kind(409, 'The port is in use', 'conflict'),
  'hub.data_version': kind(409, 'The data directory is of another version', 'human'),
  'hub.master_key': kind(409, 'The master key does not fit', 'human'),
  'hub.database': kind(503, 'The database does not answer', 'retryable', true),
  'script.invalid': kind(400, 'The model script has a mistake', 'usage'),
  internal: kind(500, 'Internal error', 'failed'),
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof ERRORS

/** One thing wrong with one field of a request. */
export const FieldError = z.object({ path: z.string(), message: z.string() })
export type FieldError = z.infer<typeof FieldError>

/** The body of every error answer (RFC 9457 with the members that a client needs to act on it). */
export const Problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.string(),
  retryable: z.boolean(),
  fix: z.string().optional(),
  request_id: z.string().optional(),
  errors: z.array(FieldError).optional(),
})
export type Problem = z.infer<typeof Problem>

export interface ErrorOptions {
  /** What a person does about it, best as a command. */
  readonly fix?: string | undefined
  /** For the log alone; never leaves the Hub. */
  readonly internal?: string | undefined
  readonly errors?: readonly FieldError[] | undefined
  readonly cause?: unknown
  /** Overrides the table when this occurrence is known to differ. */
  readonly retryable?: boolean | undefined
  /** The request that it belongs to, where known. */
  readonly requestId?: string | undefined
}

/** The one error of the product: a stable code, a public sentence, and what to do about it. */
export class AutovibeError extends Error {
  override readonly name = 'AutovibeError'
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly fix: string | undefined
  readonly internal: string | undefined
  readonly errors: readonly FieldError[] | undefined
  readonly requestId: string | undefined

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? ERRORS[code].retryable
    this.fix = options.fix
    this.internal = options.internal
    this.errors = options.errors
    this.requestId = options.requestId
  }

  get status(): number {
    return ERRORS[this.code].status
  }

  get exitCode(): number {
    return EXIT[ERRORS[this.code].exit]
  }

  toProblem(requestId?: string): Problem {
    return {
      type: `urn:autovibe:error:${this.code}`,
      title: ERRORS[this.code].title,
      status: this.status,
      detail: this.message,
      code: this.code,
      retryable: this.retryable,
      ...(this.fix === undefined ? {} : { fix: this.fix }),
      ...(requestId === undefined ? {} : { request_id: requestId }),
      ...(this.errors === undefined ? {} : { errors: [...this.errors] }),
    }
  }

  /** The error that a problem document describes; a code this version does not know reads as `internal`. */
  static fromProblem(problem: Problem): AutovibeError {
    const code = isErrorCode(problem.code) ? problem.code : 'internal'
    return new AutovibeError(code, problem.detail, { fix: problem.fix, retryable: problem.retryable, errors: problem.errors, requestId: problem.request_id })
  }
}

/** False of the words that every object knows, such as `constructor`. */
export const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERRORS, code)

/** Any thrown value as our error: ours as it is, everything else as `internal` with its text kept for the log only. */
export function asAutovibeError(thrown: unknown): AutovibeError {
  if (thrown instanceof AutovibeError) return thrown
  const internal = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
  return new AutovibeError('internal', 'Something went wrong inside the Hub.', { internal, cause: thrown, fix: 'See the Hub log: autovibe logs --hub' })
}
