/** Reads JSON as text: finds what `JSON.parse` hides (a key written twice), and edits one number without touching another byte. */

/** Deeper nesting than any honest request has. */
export const MAX_JSON_DEPTH = 200

export interface JsonScan {
  /** A key that stands twice in one object. Which of the two counts depends on who reads it, so such a text has no single meaning. */
  readonly duplicateKey: string | null
  readonly tooDeep: boolean
  /** Where the value of each key of the outermost object begins and ends. */
  readonly topLevel: ReadonlyMap<string, { readonly start: number; readonly end: number }>
}

/** Scans a text that `JSON.parse` has accepted; one pass, no recursion. */
export function scanJson(text: string): JsonScan {
  const topLevel = new Map<string, { start: number; end: number }>()
  // One entry per open bracket: the keys seen in an object, null for an array.
  const open: (Set<string> | null)[] = []
  let topKey: string | null = null
  let topStart = 0
  const closeTopValue = (end: number) => {
    if (topKey !== null) topLevel.set(topKey, { start: topStart, end: trimEnd(text, end) })
    topKey = null
  }
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at)
    if (char === QUOTE) {
      const end = endOfString(text, at)
      const keys = open.at(-1)
      const colon = keys ? skipSpace(text, end) : -1
      if (keys && text.charCodeAt(colon) === COLON) {
        const raw = text.slice(at, end)
        const key = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1)
        if (keys.has(key)) return { duplicateKey: key, tooDeep: false, topLevel }
        keys.add(key)
        if (open.length === 1) {
          topKey = key
          topStart = skipSpace(text, colon + 1)
        }
        at = colon
      } else at = end - 1
    } else if (char === OPEN_OBJECT || char === OPEN_ARRAY) {
      if (open.length === MAX_JSON_DEPTH) return { duplicateKey: null, tooDeep: true, topLevel }
      open.push(char === OPEN_OBJECT ? new Set() : null)
    } else if (char === CLOSE_OBJECT || char === CLOSE_ARRAY) {
      if (open.length === 1) closeTopValue(at)
      open.pop()
    } else if (char === COMMA && open.length === 1) closeTopValue(at)
  }
  return { duplicateKey: null, tooDeep: false, topLevel }
}

/** The text with the value of one key of the outermost object replaced; every other character stays as it was. */
export function replaceTopLevel(text: string, scan: JsonScan, key: string, value: string): string {
  const span = scan.topLevel.get(key)
  if (!span) throw new RangeError(`the text has no key ${key}`)
  return text.slice(0, span.start) + value + text.slice(span.end)
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d

const isSpace = (char: number) => char === 0x20 || char === 0x0a || char === 0x0d || char === 0x09

function skipSpace(text: string, from: number): number {
  let at = from
  while (isSpace(text.charCodeAt(at))) at++
  return at
}

function trimEnd(text: string, from: number): number {
  let end = from
  while (isSpace(text.charCodeAt(end - 1))) end--
  return end
}

/** The place behind the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let quote = start
  for (;;) {
    quote = text.indexOf('"', quote + 1)
    // Only a text that is no JSON has an open string; it ends with the text.
    if (quote === -1) return text.length
    let backslashes = 0
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return quote + 1
  }
}
