/** The bytes that a class of a pattern (`[a-z]`, `[!x]`, `[[:digit:]]`) stands for, read as git's wildmatch reads it. */

const BYTES = Array.from({ length: 255 }, (_, index) => String.fromCharCode(index + 1))
const within = (pattern: RegExp): readonly string[] => BYTES.filter((char) => pattern.test(char))

const NAMED: ReadonlyMap<string, readonly string[]> = new Map([
  ['alnum', within(/[0-9A-Za-z]/)],
  ['alpha', within(/[A-Za-z]/)],
  ['blank', [' ', '\t']],
  ['cntrl', BYTES.filter((char) => char < ' ' || char === '\x7f')],
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
  /** Each once; never a slash, which no class matches in a path. */
  readonly members: string
  /** Behind its bracket. */
  readonly end: number
}

/** Null where it does not end, or names a class that there is not: nothing matches such a pattern. */
export function readClass(source: string, from: number): Class | null {
  const isNegated = source[from + 1] === '!' || source[from + 1] === '^'
  const members = new Set<string>()
  /** What a dash behind it would be a range from; none behind a range and a named class. */
  let previous = ''
  // A bracket in the first place is a member.
  for (let at = from + (isNegated ? 2 : 1), first = at; ; ) {
    let char = source[at]
    if (char === undefined) return null
    if (char === ']' && at !== first) {
      const chosen = isNegated ? BYTES.filter((byte) => !members.has(byte)) : [...members]
      return { members: chosen.filter((byte) => byte !== '/').join(''), end: at + 1 }
    }
    const last = source[at + 1]
    if (char === '-' && previous !== '' && last !== undefined && last !== ']') {
      const end = last === '\\' ? source[at + 2] : last
      if (end === undefined) return null
      for (const byte of BYTES) if (byte >= previous && byte <= end) members.add(byte)
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
        for (const byte of named) members.add(byte)
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
    members.add(char)
    previous = char
    at++
  }
}
