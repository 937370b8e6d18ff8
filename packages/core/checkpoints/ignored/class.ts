/** The bytes that a class of a pattern (`[a-z]`, `[!x]`, `[[:digit:]]`) stands for, read as git's wildmatch reads it. */

/** A bit for each byte: thousands of classes in one file take neither long nor much room. */
export type ByteSet = Uint32Array

export function holds(set: ByteSet, char: string): boolean {
  const byte = char.charCodeAt(0)
  return (((set[byte >> 5] ?? 0) >>> (byte & 31)) & 1) === 1
}

function add(set: ByteSet, from: string, to: string = from): void {
  for (let byte = from.charCodeAt(0), last = to.charCodeAt(0); byte <= last; byte++) set[byte >> 5] = (set[byte >> 5] ?? 0) | (1 << (byte & 31))
}

function addAll(set: ByteSet, others: ByteSet): void {
  for (const [index, bits] of others.entries()) set[index] = (set[index] ?? 0) | bits
}

function remove(set: ByteSet, char: string): void {
  const byte = char.charCodeAt(0)
  set[byte >> 5] = (set[byte >> 5] ?? 0) & ~(1 << (byte & 31))
}

const emptySet = (): ByteSet => new Uint32Array(8)

function within(pattern: RegExp): ByteSet {
  const set = emptySet()
  for (let byte = 1; byte < 256; byte++) if (pattern.test(String.fromCharCode(byte))) add(set, String.fromCharCode(byte))
  return set
}

const NAMED: ReadonlyMap<string, ByteSet> = new Map([
  ['alnum', within(/[0-9A-Za-z]/)],
  ['alpha', within(/[A-Za-z]/)],
  ['blank', within(/[ \t]/)],
  ['cntrl', within(/[\x01-\x1f\x7f]/)],
  ['digit', within(/[0-9]/)],
  ['graph', within(/[!-~]/)],
  ['lower', within(/[a-z]/)],
  ['print', within(/[ -~]/)],
  ['punct', within(/[!-/:-@[-`{-~]/)],
  ['space', within(/[\t-\r ]/)],
  ['upper', within(/[A-Z]/)],
  ['xdigit', within(/[0-9A-Fa-f]/)],
])

export interface Class {
  /** Never a slash, which no class matches in a path. */
  readonly members: ByteSet
  /** Behind its bracket. */
  readonly end: number
}

/** Null where it does not end, or names a class that there is not: nothing matches such a pattern. */
export function readClass(source: string, from: number): Class | null {
  const isNegated = source[from + 1] === '!' || source[from + 1] === '^'
  const members = emptySet()
  /** What a dash behind it would be a range from; none behind a range and a named class. */
  let previous = ''
  // A bracket in the first place is a member.
  for (let at = from + (isNegated ? 2 : 1), first = at; ; ) {
    let char = source[at]
    if (char === undefined) return null
    if (char === ']' && at !== first) {
      const chosen = isNegated ? members.map((bits) => ~bits) : members
      for (const never of ['\0', '/']) remove(chosen, never)
      return { members: chosen, end: at + 1 }
    }
    const last = source[at + 1]
    if (char === '-' && previous !== '' && last !== undefined && last !== ']') {
      const end = last === '\\' ? source[at + 2] : last
      if (end === undefined) return null
      add(members, previous, end)
      previous = ''
      at += last === '\\' ? 3 : 2
      continue
    }
    if (char === '[' && last === ':') {
      const close = source.indexOf(']', at + 2)
      if (close === -1) return null
      if (close > at + 2 && source[close - 1] === ':') {
        const named = NAMED.get(source.slice(at + 2, close - 1))
        if (named === undefined) return null
        addAll(members, named)
        previous = ''
        at = close + 1
        continue
      }
    }
    if (char === '\\') {
      at++
      char = source[at]
      if (char === undefined) return null
    }
    add(members, char)
    previous = char
    at++
  }
}
