/** Makes ids: 48 bits of time, then 80 bits of chance, in Crockford base32 (the ULID layout), behind the prefix of their kind. */
import { ID_PREFIXES, type Id, type IdKind } from '@autovibe/contract'

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const TIME_CHARS = 10
const CHANCE_CHARS = 16

/** The id of this kind for a time (ms since 1970) and ten bytes of chance. */
export function encodeId<K extends IdKind>(kind: K, nowMs: number, chance: Uint8Array): Id<K> {
  if (chance.length !== 10) throw new RangeError('an id takes ten bytes of chance')
  let body = ''
  for (let shift = TIME_CHARS - 1; shift >= 0; shift--) body += ALPHABET[Math.floor(nowMs / 32 ** shift) % 32]
  let value = 0n
  for (const byte of chance) value = (value << 8n) | BigInt(byte)
  for (let shift = CHANCE_CHARS - 1; shift >= 0; shift--) body += ALPHABET[Number((value >> BigInt(shift * 5)) & 31n)]
  return `${ID_PREFIXES[kind]}_${body}` as Id<K>
}
