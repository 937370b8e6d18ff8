/** What the headers of a tar say: a block of fields, and the records of an extended header. Whoever made it may have meant harm. */
import { AutovibeError } from '../errors.ts'
import { BLOCK_BYTES, headerSum, millisecondsOf, type TarEntry } from './entry.ts'

/** What an extended header says of the next entry, or of all that follow. */
export interface Extended {
  readonly path?: Uint8Array
  readonly target?: Uint8Array
  readonly size?: number
  readonly mtimeMs?: number
}

interface Header {
  readonly size: number
  /** Null: it is an entry itself. */
  readonly extends: 'all' | 'next' | 'path' | 'target' | null
  entry(extended: Extended): TarEntry
}

const TYPES: Readonly<Record<string, TarEntry['type']>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'special',
  '4': 'special',
  '5': 'directory',
  '6': 'special',
}
const EXTENDS: Readonly<Record<string, Header['extends']>> = { x: 'next', g: 'all', L: 'path', K: 'target' }
const SLASH = 0x2f
const RECORDS_MAX = 10_000
const decoder = new TextDecoder('latin1')

/** The error for an archive: the problem as the rest of a sentence. */
export const archiveInvalid = (problem: string): AutovibeError =>
  new AutovibeError('archive.invalid', `The archive cannot be read: ${problem}.`, {
    fix: 'Make it anew, with POSIX headers: tar --format=posix -cf FILE -C FOLDER .',
  })

const NO_HEADER = 'a header in it has another checksum than its bytes (it may be compressed, cut, or no tar)'

export function readBlock(block: Uint8Array): Header {
  if (number(block, 148, 8, NO_HEADER) !== headerSum(block)) throw archiveInvalid(NO_HEADER)
  const flag = String.fromCharCode(block[156] ?? 0)
  const size = number(block, 124, 12)
  if (size < 0) throw archiveInvalid('a size in it is negative')
  const kind = EXTENDS[flag] ?? null
  const type = TYPES[flag]
  if (kind === null && type === undefined)
    throw archiveInvalid(`it has an entry of the type ${JSON.stringify(flag)}, such as a sparse file or a part of another archive`)
  return { size, extends: kind, entry: (extended) => entryOf(block, type ?? 'special', size, extended) }
}

function entryOf(block: Uint8Array, type: TarEntry['type'], size: number, extended: Extended): TarEntry {
  const raw = extended.path ?? pathOf(block)
  // Tars from before there was a type for folders mark one by its slash.
  const isFolder = type === 'directory' || (type === 'file' && raw.at(-1) === SLASH)
  const path = isFolder ? withoutSlashes(raw) : raw
  const target = extended.target ?? field(block, 157, 100)
  return {
    path,
    type: isFolder ? 'directory' : type,
    mode: number(block, 100, 8) & 0o7777,
    // A link or a folder has no content, whatever its field says; of a file, the extended header's word counts.
    size: type === 'file' && !isFolder ? (extended.size ?? size) : 0,
    mtimeMs: extended.mtimeMs ?? number(block, 136, 12) * 1000,
    target: type === 'symlink' || type === 'link' ? target : null,
  }
}

/** The records of a pax header, or the one name that a header of GNU tar holds. */
export function readRecords(kind: NonNullable<Header['extends']>, body: Uint8Array): Extended {
  if (kind === 'path') return { path: field(body, 0, body.length) }
  if (kind === 'target') return { target: field(body, 0, body.length) }
  const read: { path?: Uint8Array; target?: Uint8Array; size?: number; mtimeMs?: number } = {}
  let count = 0
  for (let at = 0; at < body.length; ) {
    if (++count > RECORDS_MAX) throw archiveInvalid(`a header in it has more than ${RECORDS_MAX} records`)
    const blank = body.indexOf(0x20, at)
    const digits = blank === -1 || blank - at > 7 ? '' : decoder.decode(body.subarray(at, blank))
    const end = at + Number(digits)
    const equals = body.indexOf(0x3d, blank)
    if (!/^[1-9]\d*$/.test(digits) || end > body.length || equals === -1 || equals >= end || body[end - 1] !== 0x0a)
      throw archiveInvalid('a record of a header in it has a wrong length')
    take(read, decoder.decode(body.subarray(blank + 1, equals)), body.subarray(equals + 1, end - 1))
    at = end
  }
  return read
}

function take(read: { path?: Uint8Array; target?: Uint8Array; size?: number; mtimeMs?: number }, keyword: string, value: Uint8Array): void {
  const text = (): string => decoder.decode(value)
  if (keyword === 'path') read.path = value
  else if (keyword === 'linkpath') read.target = value
  else if (keyword === 'size') {
    if (!/^\d{1,15}$/.test(text())) throw archiveInvalid('a size in it is no number')
    read.size = Number(text())
  } else if (keyword === 'mtime') {
    read.mtimeMs = millisecondsOf(text())
    if (Number.isNaN(read.mtimeMs)) throw archiveInvalid('a time in it is no number')
  } else if (/^GNU\.sparse\./.test(keyword)) throw archiveInvalid('it has a sparse file (make it without --sparse)')
}

/** The name, with its prefix where the block is of the kind that has one (GNU tar's own keeps times there). */
function pathOf(block: Uint8Array): Uint8Array {
  const name = field(block, 0, 100)
  const prefix = decoder.decode(block.subarray(257, 263)) === 'ustar\0' ? field(block, 345, 155) : new Uint8Array(0)
  if (prefix.length === 0) return name
  const path = new Uint8Array(prefix.length + 1 + name.length)
  path.set(prefix)
  path[prefix.length] = SLASH
  path.set(name, prefix.length + 1)
  return path
}

/** The bytes up to the first NUL, copied: the block may belong to a chunk that is used again. */
function field(block: Uint8Array, at: number, length: number): Uint8Array {
  const end = block.subarray(at, at + length).indexOf(0)
  return block.slice(at, at + (end === -1 ? length : end))
}

function withoutSlashes(path: Uint8Array): Uint8Array {
  let end = path.length
  while (end > 1 && path[end - 1] === SLASH) end--
  return path.subarray(0, end)
}

/** Octal digits, with blanks or NULs around; or, with its highest bit set, the number in base 256 that GNU tar writes where digits do not suffice. */
function number(block: Uint8Array, at: number, length: number, notOctal = 'a number in it is not octal'): number {
  const first = block[at] ?? 0
  if (first === 0x80 || first === 0xff) {
    let value = first === 0xff ? -1 : 0
    for (let place = at + 1; place < at + length; place++) value = value * 256 + (block[place] ?? 0)
    if (!Number.isSafeInteger(value)) throw archiveInvalid('a number in it is too large')
    return value
  }
  const text = decoder.decode(block.subarray(at, Math.min(at + length, BLOCK_BYTES))).replace(/^ +|[\0 ].*$/gs, '')
  if (text === '') return 0
  if (!/^[0-7]+$/.test(text)) throw archiveInvalid(notOctal)
  return Number.parseInt(text, 8)
}
