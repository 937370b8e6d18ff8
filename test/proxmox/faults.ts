/** What goes wrong, and when: a hook that a test decides with, call by call, and a seeded one that replays. */
import { drawn, generator } from '../support/chance.ts'
import type { Raw } from './parameters.ts'

/** Before the effect, or after it: done, but not told. */
export type When = 'before' | 'after'

export type Fault =
  /** The connection breaks. */
  | { readonly kind: 'reset'; readonly when: When }
  /** No answer ever comes. */
  | { readonly kind: 'silence'; readonly when: When }
  /** Another answer: 500, or a proxy's 595, 596 and 599. */
  | { readonly kind: 'answer'; readonly when: When; readonly status: number; readonly reason: string }
  /** The worker ends with this text; `WARNINGS: 1` after its work is a success. Halfway is where it first does something that takes time. */
  | { readonly kind: 'task'; readonly when: When | 'halfway'; readonly exit: string }
  /** The worker's process is gone: its log has no last line, or is gone too. */
  | { readonly kind: 'task vanishes'; readonly when: When; readonly log: 'left' | 'gone' }
  /** Another process holds the lock of the VM, or of the storage that is named. */
  | { readonly kind: 'lock held'; readonly seconds: number; readonly storage?: string }
  /** Somebody else's VM takes the number first. */
  | { readonly kind: 'vmid taken' }
  /** The guest agent of the VM does not answer this call. */
  | { readonly kind: 'agent silent' }
  /** The node that should do it goes down. */
  | { readonly kind: 'node down' }

export interface FaultCall {
  readonly method: string
  /** As the description writes it: /nodes/{node}/qemu/{vmid}/clone. */
  readonly template: string
  readonly path: string
  readonly parameters: Raw
  readonly who: string | null
  /** Whose door it came to. */
  readonly door: string
  /** How many calls of this method and template came before, and this one. */
  readonly nth: number
}

export type FaultHook = (call: FaultCall) => Fault | null

/** The words of Proxmox's proxy when a node does not answer. */
export const PROXY_ERRORS = {
  refused: { status: 595, reason: 'Connection refused' },
  unreachable: { status: 595, reason: 'No route to host' },
  timedOut: { status: 596, reason: 'Connection timed out' },
  broken: { status: 596, reason: 'Broken pipe' },
  redirected: { status: 599, reason: 'Too many redirections' },
} as const

/** Faults that any call can meet. */
const ANYWHERE: readonly Fault[] = [
  { kind: 'reset', when: 'before' },
  { kind: 'reset', when: 'after' },
  { kind: 'answer', when: 'before', ...PROXY_ERRORS.refused },
  { kind: 'answer', when: 'before', ...PROXY_ERRORS.timedOut },
  { kind: 'answer', when: 'after', ...PROXY_ERRORS.timedOut },
  { kind: 'answer', when: 'after', ...PROXY_ERRORS.broken },
  { kind: 'answer', when: 'before', ...PROXY_ERRORS.redirected },
  { kind: 'answer', when: 'before', status: 500, reason: 'got timeout' },
]
/** Faults of calls that change a VM. */
const CHANGING: readonly Fault[] = [
  { kind: 'task', when: 'before', exit: "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout" },
  { kind: 'task', when: 'after', exit: 'received interrupt' },
  { kind: 'task', when: 'after', exit: 'WARNINGS: 1' },
  { kind: 'task vanishes', when: 'before', log: 'left' },
  { kind: 'task vanishes', when: 'after', log: 'left' },
  { kind: 'task vanishes', when: 'after', log: 'gone' },
  { kind: 'lock held', seconds: 30 },
]
const CREATING: readonly Fault[] = [{ kind: 'vmid taken' }]

export interface Schedule {
  readonly seed: number
  /** Share of the calls that meet something. */
  readonly rate: number
  /** No more than this many in all, so that work comes to an end. */
  readonly most: number
  /** Calls that are left alone. */
  readonly spare?: (call: FaultCall) => boolean
  /** Time-outs take as long as the client's patience, so they are asked for. */
  readonly withSilence?: boolean
}

export interface Seeded {
  readonly hook: FaultHook
  /** What was decided, in order; the same calls with the same seed give the same list. */
  readonly met: readonly { readonly call: string; readonly fault: Fault }[]
}

/** Faults by seed: the n-th call of a kind meets the same whatever other calls come between. */
export function seededFaults(schedule: Schedule): Seeded {
  const met: { call: string; fault: Fault }[] = []
  const hook: FaultHook = (call) => {
    if (met.length >= schedule.most || schedule.spare?.(call)) return null
    const chance = generator(hash(`${schedule.seed} ${call.method} ${call.template} ${call.nth}`))
    if (chance() >= schedule.rate) return null
    const fault = choose(call, chance, schedule.withSilence === true)
    met.push({ call: `${call.method} ${call.template} #${call.nth}`, fault })
    return fault
  }
  return { hook, met }
}

function choose(call: FaultCall, chance: () => number, withSilence: boolean): Fault {
  const silence: readonly Fault[] = withSilence
    ? [
        { kind: 'silence', when: 'before' },
        { kind: 'silence', when: 'after' },
      ]
    : []
  const changes = call.method !== 'GET' && call.template.includes('/qemu')
  const creates = call.template.endsWith('/clone') || (call.method === 'POST' && call.template.endsWith('/qemu'))
  const asks = call.template.includes('/agent/')
  const possible: readonly Fault[] = [
    ...ANYWHERE,
    ...silence,
    ...(changes && !asks ? CHANGING : []),
    ...(creates ? CREATING : []),
    ...(asks ? ([{ kind: 'agent silent' }] as const) : []),
  ]
  const weights = Object.fromEntries(possible.map((_, index) => [String(index), 1]))
  return possible[Number(drawn(chance, weights))] ?? { kind: 'reset', when: 'before' }
}

/** A seed out of a text: FNV-1a, and MurmurHash's last mixing, so that the second call is not like the first. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (const char of text) value = Math.imul(value ^ (char.codePointAt(0) ?? 0), 0x01000193)
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}
