/** What Proxmox means when it does not answer 200, or when nothing answers: one kind for each thing that a caller does about it. */

export type FailureKind =
  /** A parameter that Proxmox does not take (400). */
  | 'parameters'
  | 'credentials'
  | 'forbidden'
  /** Somebody holds the lock; nothing was done. */
  | 'locked'
  /** The VM, the snapshot or the volume is not there. */
  | 'absent'
  /** The number is another VM's already, or was ours at an earlier attempt. */
  | 'taken'
  | 'agent not ready'
  /** The door answers, the node behind it does not. */
  | 'node unreachable'
  | 'no quorum'
  /** Proxmox waited in vain for something of its own. */
  | 'timed out'
  /** This version does not know the method. */
  | 'unknown method'
  /** No connection came about, so nothing was sent. */
  | 'not sent'
  /** The certificate is not the one that is known; nothing was sent. */
  | 'wrong certificate'
  /** It was sent, and no whole answer came: done or not done, nobody knows. */
  | 'unanswered'
  /** An answer, but not one of Proxmox's shape. */
  | 'unreadable'
  | 'failed'

export interface Refused {
  readonly status: number
  /** The reason phrase; all that a proxy error has. */
  readonly reason: string
  readonly message: string | undefined
  readonly errors: Readonly<Record<string, string>> | undefined
}

export interface Failure {
  readonly kind: FailureKind
  /** Proxmox's own words, on one line, bounded. */
  readonly words: string
  readonly errors: Readonly<Record<string, string>>
}

const MOST_CHARACTERS = 600
const MOST_ERRORS = 20

/** Words of a lock: a VM's configuration, a file, the cluster's, a storage's. */
const LOCKED =
  /\b(?:VM|CT) is locked\b|can't lock file\b.*\bgot (?:timeout|signal)|\btrying to acquire (?:cfs[- ])?lock\b|\bgot lock request timeout\b|\block request timed? ?out\b|unable to acquire lock|can't acquire lock|\bcfs-lock\b.*\btimeout\b/i
/** A lock of Proxmox, by its words: those of a refusal, of a task's end or of a log. */
export const saysLocked = (words: string): boolean => LOCKED.test(words)

/** By their words alone; the first that fits. */
const BY_WORDS: readonly (readonly [FailureKind, RegExp])[] = [
  ['locked', LOCKED],
  ['no quorum', /\bno quorum\b/i],
  ['taken', /\bVM \d+ already exists\b|config file already exists|\.conf\.tmp\.\d+' - File exists/i],
  ['absent', /Configuration file '.*' does not exist|\bsnapshot '.*' does not exist|\bno such (?:VM|task)\b/i],
  ['agent not ready', /QEMU guest agent is not running|guest agent .*(?:not responding|timed? ?out|timeout)|guest-\S+' failed - got timeout/i],
  ['timed out', /\bgot timeout\b|\btimed out\b|\bgot no worker upid\b/i],
]

const BY_STATUS: Readonly<Record<number, FailureKind>> = {
  401: 'credentials',
  403: 'forbidden',
  404: 'absent',
  501: 'unknown method',
  502: 'node unreachable',
  503: 'node unreachable',
  504: 'node unreachable',
  595: 'node unreachable',
  596: 'node unreachable',
  597: 'node unreachable',
  598: 'node unreachable',
  599: 'node unreachable',
}

export function classify({ status, reason, message, errors }: Refused): Failure {
  const words = oneLine(message !== undefined && message.trim() !== '' ? message : reason) || `status ${status}`
  const named = Object.fromEntries(
    Object.entries(errors ?? {})
      .slice(0, MOST_ERRORS)
      .map(([key, text]) => [oneLine(key), oneLine(text)]),
  )
  return { kind: kindOf(status, words), words, errors: named }
}

function kindOf(status: number, words: string): FailureKind {
  const known = BY_STATUS[status]
  if (known !== undefined) return known
  const told = BY_WORDS.find(([, pattern]) => pattern.test(words))?.[0]
  return told ?? (status === 400 ? 'parameters' : 'failed')
}

/** Without control characters, which a terminal or a log would obey; one line, bounded. */
export function oneLine(text: string, most = MOST_CHARACTERS): string {
  const clean = text
    .slice(0, most * 4)
    .replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
    .trim()
  return clean.length > most ? `${clean.slice(0, most - 1)}…` : clean
}

/** Nothing was done, whatever was asked for, so that asking again is safe. */
const NOTHING_DONE: ReadonlySet<FailureKind> = new Set(['locked', 'not sent'])
/** It may pass, or somebody else can answer; whether something was done is not known. */
const PASSING: ReadonlySet<FailureKind> = new Set(['node unreachable', 'no quorum', 'timed out', 'unanswered', 'agent not ready'])

/** Whether the same call may succeed later, for whoever made it to decide. */
export const mayPass = (kind: FailureKind): boolean => NOTHING_DONE.has(kind) || PASSING.has(kind)

export type Next = 'another door' | 'wait and ask again' | 'wait for the lock' | 'give up'

/**
 * What the client does by itself. `repeatable`: a read, or a write that its caller calls idempotent by the VMID.
 * A write that is neither goes out again only where nothing of it was done.
 */
export function nextAfter(kind: FailureKind, repeatable: boolean): Next {
  if (kind === 'locked') return 'wait for the lock'
  if (kind === 'not sent') return 'another door'
  // What a guest's agent does is for the caller to await: it may take minutes, or never come.
  if (!repeatable || !PASSING.has(kind) || kind === 'agent not ready') return 'give up'
  return kind === 'unanswered' ? 'another door' : 'wait and ask again'
}
