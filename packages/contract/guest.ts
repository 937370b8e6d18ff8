/** What crosses the wire between the guest, which runs as root inside a machine's VM, and its Hub's gate. The Hub trusts nothing of what a guest says. */
import { z } from 'zod'
import { FILE_TYPES } from './checkpoints.ts'
import { CheckpointId, MachineId } from './ids.ts'

export const GUEST_LIMITS = {
  invitationCharacters: 200,
  /** Of the first line of a connection, and of the answer to it. */
  helloBytes: 1024,
  /** Of the body of a call that is no tar, and of an answer that is no stream of changes. */
  jsonBytes: 128 * 1024,
  frozenTrees: 1000,
  /** Of the header of one change: a path and a target of 4,095 bytes, each spelled with four characters a byte, of which JSON doubles one. */
  changeHeaderBytes: 64 * 1024,
  doorStreams: 64,
} as const

/** 32 bytes in base64url. */
const Digest = z.string().regex(/^[A-Za-z0-9_-]{43}$/)
/** Names a machine by the body of its id, and proves it. */
export const GuestSecret = z.string().regex(/^[0-9a-z]{26}\.[A-Za-z0-9_-]{32,43}$/)

export const GuestInvitation = z.object({
  /** Where machines reach the gate: `host:port`. */
  address: z
    .string()
    .max(80)
    .regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$/),
  /** SHA-256 of the gate's certificate. */
  fingerprint: Digest,
  secret: GuestSecret,
})
export type GuestInvitation = z.infer<typeof GuestInvitation>

const INVITATION_VERSION = 'av1'

/** A sign that stands in none of the parts, and that no layer between here and an SMBIOS takes for its own. */
const BETWEEN = '~'

export const encodeInvitation = ({ address, fingerprint, secret }: GuestInvitation): string => [INVITATION_VERSION, address, fingerprint, secret].join(BETWEEN)

/** Null for what is no invitation of this version. */
export function decodeInvitation(text: string): GuestInvitation | null {
  if (text.length > GUEST_LIMITS.invitationCharacters) return null
  const [version, address, fingerprint, secret, ...more] = text.split(BETWEEN)
  if (version !== INVITATION_VERSION || more.length > 0) return null
  return GuestInvitation.safeParse({ address, fingerprint, secret }).data ?? null
}

/** 2: the token is good together with the invitation's secret alone. 1: by itself, as guests of templates of before take it. */
const Version = z.literal([1, 2])

/**
 * The first line of each connection. `claim` is made by the guest and kept before it registers, so that one whose answer was lost may ask again, and nobody else. `secret` is read
 * from the firmware each time and is on no disk: a clone of the disk has the token, and not the secret that makes it good.
 */
export const GuestHello = z.discriminatedUnion('wants', [
  z.object({ wants: z.literal('register'), version: Version, secret: GuestSecret, claim: Digest }),
  z.object({ wants: z.literal('link'), version: Version, token: GuestSecret, secret: GuestSecret.optional() }),
  z.object({ wants: z.literal('door'), version: Version, token: GuestSecret, secret: GuestSecret.optional() }),
])
export type GuestHello = z.infer<typeof GuestHello>

/** The line that answers. After it the connection is closed (`register`), an HTTP/2 session whose client is the Hub (`link`), or the door's own bytes (`door`). */
export const GuestWelcome = z.discriminatedUnion('is', [
  z.object({ is: z.literal('registered'), machine: MachineId, token: GuestSecret }),
  z.object({ is: z.literal('linked'), machine: MachineId }),
  z.object({ is: z.literal('open') }),
  z.object({ is: z.literal('refused') }),
])
export type GuestWelcome = z.infer<typeof GuestWelcome>

const Count = z.number().min(0).max(Number.MAX_SAFE_INTEGER)
const Word = z.string().max(100)

/** Answer of `state`. */
export const GuestStateAnswer = z.object({
  boot: Word,
  up_ms: Count,
  agent: z.enum(['running', 'stopped']),
  life: Word,
  cpu_seconds: Count,
  memory_bytes: Count,
  peak_memory_bytes: Count,
  processes: Count,
  /** By the kernel; false: seen now and then. */
  counted: z.boolean(),
  disk_bytes: Count.nullable(),
  refused: z.object({ memory: Count.nullable(), processes: Count.nullable() }),
  frozen: z.array(CheckpointId).max(GUEST_LIMITS.frozenTrees),
  has_tree: z.boolean(),
})
export type GuestStateAnswer = z.infer<typeof GuestStateAnswer>

export const GuestAgentStart = z.object({
  machine: MachineId,
  name: z.string().max(200),
  token: z.string().min(1).max(500),
  memory_bytes: Count,
  processes: Count,
  disk_bytes: Count,
})
export type GuestAgentStart = z.infer<typeof GuestAgentStart>
export const GuestCheckpoint = z.object({ checkpoint: CheckpointId })
export const GuestChanges = GuestCheckpoint.extend({ since: CheckpointId.nullable() })
export const GuestFroze = z.object({ consistency: z.enum(['consistent', 'fuzzy']) })
export const GuestDone = z.object({})

/**
 * One record of a stream of changes: four bytes with the length of this header in JSON (big-endian), the header, then for a file exactly `size` bytes. The last one is `end` or
 * `failed`; a stream without either broke off.
 */
export const GuestChange = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('put'),
    path: z.string(),
    type: z.enum(FILE_TYPES),
    mode: z.int(),
    size: z.int(),
    mtime_ms: z.number(),
    link_target: z.string().nullable(),
  }),
  z.object({ kind: z.literal('remove'), path: z.string() }),
  z.object({ kind: z.literal('end'), changes: z.int().min(0) }),
  z.object({ kind: z.literal('failed'), problem: z.unknown() }),
])
export type GuestChange = z.infer<typeof GuestChange>

const encoder = new TextEncoder()

/** The length and the header. */
export function guestChangeHeader(change: GuestChange): Uint8Array {
  const json = encoder.encode(JSON.stringify(change))
  const bytes = new Uint8Array(4 + json.length)
  new DataView(bytes.buffer).setUint32(0, json.length)
  bytes.set(json, 4)
  return bytes
}
