/** Spells a file's path, which is bytes, as text that survives JSON: a byte that is not UTF-8 becomes `\xNN`, a backslash `\\`. */

const BACKSLASH = 0x5c
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** The one spelling of these bytes; every byte string has exactly one, so equal texts mean equal paths. */
export function encodePath(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes).replaceAll('\\', '\\\\')
  } catch {
    return encodeBroken(bytes)
  }
}

/** The bytes of a spelled path. Throws RangeError for a text that `encodePath` would not have written, or that holds a NUL. */
export function decodePath(text: string): Uint8Array {
  const bytes = text.includes('\\') ? decodeEscapes(text) : encoder.encode(text)
  if (bytes.includes(0)) throw new RangeError('a path cannot hold a NUL byte')
  if (encodePath(bytes) !== text) throw new RangeError(`not the canonical spelling of a path: ${JSON.stringify(text.slice(0, 200))}`)
  return bytes
}

function encodeBroken(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at)
    if (length === 0) {
      text += `\\x${(bytes[at] ?? 0).toString(16).padStart(2, '0')}`
      at += 1
    } else {
      text += bytes[at] === BACKSLASH ? '\\\\' : strict.decode(bytes.subarray(at, at + length))
      at += length
    }
  }
  return text
}

/** How many bytes the UTF-8 character at this place takes; 0 when there is none. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0
  const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
  if (length < 2) return length
  try {
    strict.decode(bytes.subarray(at, at + length))
    return at + length <= bytes.length ? length : 0
  } catch {
    return 0
  }
}

function decodeEscapes(text: string): Uint8Array {
  const parts: Uint8Array[] = []
  const sequence = /\\(?:\\|x([0-9a-f]{2}))/y
  for (let at = 0; at < text.length; ) {
    const next = text.indexOf('\\', at)
    const end = next === -1 ? text.length : next
    if (end > at) parts.push(encoder.encode(text.slice(at, end)))
    if (next === -1) break
    sequence.lastIndex = next
    const found = sequence.exec(text)
    if (found === null) throw new RangeError(`an unknown sequence in a path at ${next}`)
    parts.push(Uint8Array.of(found[1] === undefined ? BACKSLASH : Number.parseInt(found[1], 16)))
    at = sequence.lastIndex
  }
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
