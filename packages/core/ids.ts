/** Makes ids: 48 bits of time, then 80 bits of chance, in Crockford base32 (the ULID layout), behind the prefix of their kind. */
import { ID_PREFIXES, type Id, type IdKind } from '@autovibe/contract'

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const TIME_CHARS = 10
const CHANCE_BYTES = 10

/** The id of this kind for a time (ms since 1970) and ten bytes of chance. */
export function encodeId<K extends IdKind>(kind: K, nowMs: number, chance: Uint8Array): Id<K> {
  if (chance.length !== CHANCE_BYTES) throw new RangeError('an id takes ten bytes of chance')
  let body = timeChars(nowMs)
  for (let at = 0; at < CHANCE_BYTES; at += 5) body += fiveBytes(chance, at)
  return `${ID_PREFIXES[kind]}_${body}` as Id<K>
}

/** Many ids are made in one millisecond. */
let lastMs = -1
let lastChars = ''

function timeChars(nowMs: number): string {
  if (nowMs === lastMs) return lastChars
  let chars = ''
  for (let shift = TIME_CHARS - 1; shift >= 0; shift--) chars += ALPHABET[Math.floor(nowMs / 32 ** shift) % 32]
  lastMs = nowMs
  lastChars = chars
  return chars
}

/** Forty bits as eight characters; in two halves, since a number's bits end at 32. */
function fiveBytes(bytes: Uint8Array, at: number): string {
  const byte = (index: number) => bytes[at + index] ?? 0
  const high = (byte(0) << 12) | (byte(1) << 4) | (byte(2) >> 4)
  const low = ((byte(2) & 15) << 16) | (byte(3) << 8) | byte(4)
  return fourChars(high) + fourChars(low)
}

const fourChars = (bits: number): string => `${ALPHABET[(bits >> 15) & 31]}${ALPHABET[(bits >> 10) & 31]}${ALPHABET[(bits >> 5) & 31]}${ALPHABET[bits & 31]}`
