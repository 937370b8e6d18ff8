/**
 * One pattern of a .gitignore as git's wildmatch reads it, matched by all its places at once: the time is bounded by the product of both lengths whatever an agent writes,
 * where trying one way after the other takes time by their powers. Texts are bytes, each a character up to U+00FF, as in git: `?` is half of an `é`.
 */
import { type ByteSet, holds, readClass } from './class.ts'

/** What is left of the work, in steps of some 50 ns at most; below nothing, an answer means nothing. */
export interface Effort {
  left: number
}

/** `one`: this byte, one of these, null: any but a slash. `stars`: any number of bytes, over slashes when `crosses`. `maybe`: the stars and the slash behind it may be left out. */
type Token = { readonly kind: 'one'; readonly of: string | ByteSet | null } | { readonly kind: 'stars'; readonly crosses: boolean } | { readonly kind: 'maybe' }

export interface Pattern {
  /** Texts that do not begin and end so do not match. */
  readonly head: string
  readonly tail: string
  /** What must match between them; null: nothing may be there. */
  readonly middle: readonly Token[] | null
}

/** Null for what matches nothing: a class without its end, an escape of nothing. */
export function readPattern(source: string): Pattern | null {
  const tokens = readTokens(source)
  if (tokens === null) return null
  // A slash that may be left out stays with its stars.
  const literal = tokens.map((token, index) => (isLiteral(token) && tokens[index - 2]?.kind !== 'maybe' ? token.of : null))
  const first = literal.indexOf(null)
  if (first === -1) return { head: literal.join(''), tail: '', middle: null }
  const last = literal.lastIndexOf(null)
  return { head: literal.slice(0, first).join(''), tail: literal.slice(last + 1).join(''), middle: tokens.slice(first, last + 1) }
}

export function matches({ head, tail, middle }: Pattern, text: string, effort: Effort): boolean {
  effort.left--
  if (middle === null) return text === head
  if (text.length < head.length + tail.length || !text.startsWith(head) || !text.endsWith(tail)) return false
  return matchTokens(middle, text.slice(head.length, text.length - tail.length), effort)
}

function matchTokens(tokens: readonly Token[], text: string, effort: Effort): boolean {
  effort.left -= tokens.length
  if (effort.left < 0) return false
  /** Up to which place of the text, counted from one, each place of the pattern has been reached. */
  const reached = new Uint32Array(tokens.length + 1)
  let places = [0]
  for (let at = 0; ; at++) {
    const char = text[at]
    const next: number[] = []
    // Grows while it is walked, by the places that may stand for nothing.
    for (const place of places) {
      const token = tokens[place]
      if (token?.kind === 'one') {
        if (char !== undefined && isOf(char, token.of)) reach(next, reached, place + 1, at + 2)
      } else if (token) {
        reach(places, reached, place + 1, at + 1)
        if (token.kind === 'maybe') reach(places, reached, place + 3, at + 1)
        else if (char !== undefined && (token.crosses || char !== '/')) reach(next, reached, place, at + 2)
      }
    }
    if (char === undefined) return places.includes(tokens.length)
    effort.left -= places.length
    if (next.length === 0 || effort.left < 0) return false
    places = next
  }
}

const isOf = (char: string, of: string | ByteSet | null): boolean => (of === null ? char !== '/' : typeof of === 'string' ? of === char : holds(of, char))

function reach(places: number[], reached: Uint32Array, place: number, at: number): void {
  if (reached[place] === at) return
  reached[place] = at
  places.push(place)
}

function readTokens(source: string): Token[] | null {
  const tokens: Token[] = []
  for (let at = 0; at < source.length; ) {
    const char = source[at] ?? ''
    if (char === '*') {
      const end = endOfStars(source, at)
      // Two stars mean more than one only as a whole name.
      const crosses = end - at > 1 && (at === 0 || source[at - 1] === '/') && /^(?:$|\/|\\\/)/.test(source.slice(end, end + 2))
      if (crosses && source[end] === '/') tokens.push({ kind: 'maybe' })
      tokens.push({ kind: 'stars', crosses })
      at = end
    } else if (char === '[') {
      const found = readClass(source, at)
      if (found === null) return null
      tokens.push({ kind: 'one', of: found.members })
      at = found.end
    } else if (char === '?') {
      tokens.push({ kind: 'one', of: null })
      at++
    } else {
      const literal = char === '\\' ? source[at + 1] : char
      if (literal === undefined) return null
      tokens.push({ kind: 'one', of: literal })
      at += char === '\\' ? 2 : 1
    }
  }
  return tokens
}

function endOfStars(source: string, from: number): number {
  let at = from
  while (source[at] === '*') at++
  return at
}

const isLiteral = (token: Token): token is { kind: 'one'; of: string } => token.kind === 'one' && typeof token.of === 'string'
