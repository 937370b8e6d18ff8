/** What the client throws: our error, with Proxmox's own words, the kind of the failure, and what a person does about it; never a credential. */
import { AutovibeError, type ErrorCode } from '@autovibe/contract'
import { type Failure, type FailureKind, mayPass, oneLine } from '@autovibe/core/proxmox/failures.ts'
import { fixOfRefusal } from './privileges.ts'

export type ProxmoxFailureKind =
  | FailureKind
  /** A task ended with an error. */
  | 'task failed'
  /** A task ended without a last word: its node restarted, or its process was ended. */
  | 'task vanished'

interface Details {
  readonly kind: ProxmoxFailureKind
  readonly call: string
  readonly repeated?: boolean
  readonly upid?: string
  readonly log?: readonly string[]
}

export class ProxmoxError extends AutovibeError {
  readonly kind: ProxmoxFailureKind
  /** The call went out more than once, so that "taken" or "absent" may be its own doing. */
  readonly repeated: boolean
  readonly upid: string | undefined
  /** The last lines of the task's log. */
  readonly log: readonly string[]

  constructor(code: ErrorCode, message: string, details: Details, options: ConstructorParameters<typeof AutovibeError>[2] = {}) {
    super(code, message, { internal: details.call, ...options })
    this.kind = details.kind
    this.repeated = details.repeated === true
    this.upid = details.upid
    this.log = details.log ?? []
  }
}

/** No answer of Proxmox's: what the connection came to. */
export class NoAnswer extends Error {
  readonly kind: 'not sent' | 'wrong certificate' | 'unanswered' | 'unreadable'

  constructor(kind: NoAnswer['kind'], words: string) {
    super(words)
    this.kind = kind
  }
}

const FIXES: Partial<Readonly<Record<FailureKind, string>>> = {
  credentials:
    'Make the token anew (pveum user token add USER TOKEN --privsep 1) and tell the Hub its secret; see that user and token have not expired: pveum user token list USER.',
  'wrong certificate':
    'If the certificate was changed on purpose, read its fingerprint on the node (pvenode cert info) and give the Hub that one. If not, somebody may be listening.',
  'no quorum': 'Bring back a majority of the nodes: pvecm status.',
  'node unreachable': 'See whether the node is up and reached by the others: pvecm nodes.',
  'not sent': 'See whether the node is up and pveproxy runs on it: systemctl status pveproxy.',
  locked: 'See which task holds the lock (pvenode task list --source active). If none does, an administrator takes it away: qm unlock VMID.',
  'unknown method': 'This needs Proxmox VE 9: pveversion.',
}

/** Kinds of "does not answer", beside those of "could not". */
const UNAVAILABLE: ReadonlySet<FailureKind> = new Set(['not sent', 'unanswered', 'node unreachable', 'no quorum', 'wrong certificate', 'credentials'])

export function errorOf(failure: Failure, call: string, repeated: boolean): ProxmoxError {
  const { kind, words, errors } = failure
  const named = Object.entries(errors).map(([path, message]) => ({ path, message }))
  const detail = named.map(({ path, message }) => `${path}: ${message}`).join('; ')
  return new ProxmoxError(
    UNAVAILABLE.has(kind) ? 'substrate.unavailable' : 'substrate.failed',
    `Proxmox: ${words}${detail === '' ? '' : ` (${oneLine(detail)})`}`,
    { kind, call, repeated },
    {
      fix: kind === 'forbidden' ? (fixOfRefusal(words) ?? 'See what the token may do: pveum user token permissions USER TOKEN.') : FIXES[kind],
      retryable: mayPass(kind),
      ...(named.length === 0 ? {} : { errors: named }),
    },
  )
}
