/**
 * The header of a tar entry, by POSIX.1-2008 (pax: "pax Interchange Format" and "ustar Interchange Format"): a ustar block, and before it an extended header for what that
 * cannot hold. A name that is no UTF-8 stands in the ustar block as it is where it fits, else in a record after `hdrcharset=BINARY`.
 */
import { BLOCK_BYTES, headerSum, secondsOf, type TarEntry, tarPadding } from './entry.ts'

const NAME_BYTES = 100
const PREFIX_BYTES = 155
const SIZE_MAX = 8 ** 11 - 1
const TIME_MAX_S = 8 ** 11 - 1
const TYPE_FLAGS = { file: '0', link: '1', symlink: '2', directory: '5' } as const
const SLASH = 0x2f
const encoder = new TextEncoder()
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export type WritableEntry = TarEntry & { readonly type: keyof typeof TYPE_FLAGS }

/** The header blocks; the content and `tarPadding` follow. */
export function tarHeader(entry: WritableEntry): Uint8Array {
  const path = entry.type === 'directory' ? joined([entry.path, Uint8Array.of(SLASH)]) : entry.path
  const target = entry.target ?? new Uint8Array(0)
  const time = secondsOf(entry.mtimeMs)
  const isPlainTime = /^\d+$/.test(time) && Number(time) <= TIME_MAX_S
  const split = splitPath(path)
  const records: [string, Uint8Array][] = []
  if (split === null || isForeign(path)) records.push(['path', path])
  if (target.length > NAME_BYTES || isForeign(target)) records.push(['linkpath', target])
  if (records.some(([, bytes]) => !isUtf8(bytes))) records.unshift(['hdrcharset', encoder.encode('BINARY')])
  if (entry.size > SIZE_MAX) records.push(['size', encoder.encode(String(entry.size))])
  if (!isPlainTime) records.push(['mtime', encoder.encode(time)])
  const block = ustarBlock({
    ...(split ?? { prefix: new Uint8Array(0), name: path.subarray(0, NAME_BYTES) }),
    type: TYPE_FLAGS[entry.type],
    mode: entry.mode,
    size: entry.size > SIZE_MAX ? 0 : entry.size,
    mtime: Math.min(TIME_MAX_S, Math.max(0, Math.floor(entry.mtimeMs / 1000))),
    target: target.subarray(0, NAME_BYTES),
  })
  return records.length === 0 ? block : joined([extendedHeader('x', records), block])
}

/** A comment on the whole archive, which readers pass over. */
export const tarComment = (text: string): Uint8Array => extendedHeader('g', [['comment', encoder.encode(text)]])

function extendedHeader(type: 'x' | 'g', records: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  const body = joined(records.map(([keyword, value]) => record(keyword, value)))
  const name = encoder.encode(type === 'x' ? 'PaxHeaders/entry' : 'PaxHeaders/archive')
  const header = ustarBlock({ prefix: new Uint8Array(0), name, type, mode: 0o644, size: body.length, mtime: 0, target: new Uint8Array(0) })
  return joined([header, body, tarPadding(body.length)])
}

/** `LENGTH KEYWORD=VALUE\n`, where the length counts its own digits. */
function record(keyword: string, value: Uint8Array): Uint8Array {
  const rest = joined([encoder.encode(` ${keyword}=`), value, Uint8Array.of(0x0a)])
  let length = rest.length + 1
  while (String(length).length + rest.length > length) length = String(length).length + rest.length
  return joined([encoder.encode(String(length)), rest])
}

interface Fields {
  readonly prefix: Uint8Array
  readonly name: Uint8Array
  readonly type: string
  readonly mode: number
  readonly size: number
  readonly mtime: number
  readonly target: Uint8Array
}

function ustarBlock({ prefix, name, type, mode, size, mtime, target }: Fields): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES)
  const octal = (value: number, digits: number, at: number): void => block.set(encoder.encode(value.toString(8).padStart(digits, '0')), at)
  block.set(name, 0)
  octal(mode, 7, 100)
  // Nobody's: a manifest knows no owners. Who unpacks it as root gets root's files, anybody else their own.
  octal(0, 7, 108)
  octal(0, 7, 116)
  octal(size, 11, 124)
  octal(mtime, 11, 136)
  block.set(encoder.encode(type), 156)
  block.set(target, 157)
  block.set(encoder.encode('ustar\u000000'), 257)
  octal(0, 7, 329)
  octal(0, 7, 337)
  block.set(prefix, 345)
  block.set(encoder.encode(`${headerSum(block).toString(8).padStart(6, '0')}\0 `), 148)
  return block
}

/** The path in the two fields of a ustar block, parted at a slash; null when it does not fit. */
function splitPath(path: Uint8Array): { prefix: Uint8Array; name: Uint8Array } | null {
  if (path.length <= NAME_BYTES) return { prefix: new Uint8Array(0), name: path }
  // A name must not be empty, and a folder's ends with a slash.
  for (let at = Math.min(PREFIX_BYTES, path.length - 2); at > 0 && path.length - at - 1 <= NAME_BYTES; at--)
    if (path[at] === SLASH) return { prefix: path.subarray(0, at), name: path.subarray(at + 1) }
  return null
}

/** UTF-8 beyond ASCII, for which the standard wants a record; bytes that are no text have none to be written in. */
const isForeign = (bytes: Uint8Array): boolean => bytes.some((byte) => byte >= 0x80) && isUtf8(bytes)

function isUtf8(bytes: Uint8Array): boolean {
  try {
    strict.decode(bytes)
    return true
  } catch {
    return false
  }
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
