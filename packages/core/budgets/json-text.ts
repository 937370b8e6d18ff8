/** Reads JSON as text: finds what `JSON.parse` hides (a key written twice), and edits values without touching another byte. */

/** Deeper nesting than any honest request has. */
export const MAX_JSON_DEPTH = 200

export interface JsonScan {
  /** A key that stands twice in one object. Which of the two counts depends on who reads it, so such a text has no single meaning. */
  readonly duplicateKey: string | null
  readonly tooDeep: boolean
  /**
   * A key that spells a letter, a digit or an underscore as an escape. The engine's own parser misreads escaped keys (nodejs/node#63785),
   * so such a key could hide a field from us and not from whoever reads the text next; no serializer writes one.
   */
  readonly disguisedKey: string | null
  /** Where the value of each key of the outermost object begins and ends. */
  readonly topLevel: ReadonlyMap<string, { readonly start: number; readonly end: number }>
}

/** Scans a text that `JSON.parse` has accepted; one pass, no recursion. */
export function scanJson(text: string): JsonScan {
  const topLevel = new Map<string, { start: number; end: number }>()
  // One entry per open bracket: the keys seen in an object, null for an array.
  const open: (Set<string> | null)[] = []
  const found = (what: Partial<JsonScan>): JsonScan => ({ duplicateKey: null, tooDeep: false, disguisedKey: null, topLevel, ...what })
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
        if (keys.has(key)) return found({ duplicateKey: key })
        if (DISGUISE.test(raw)) return found({ disguisedKey: key })
        keys.add(key)
        if (open.length === 1) {
          topKey = key
          topStart = skipSpace(text, colon + 1)
        }
        at = colon
      } else at = end - 1
    } else if (char === OPEN_OBJECT || char === OPEN_ARRAY) {
      if (open.length === MAX_JSON_DEPTH) return found({ tooDeep: true })
      open.push(char === OPEN_OBJECT ? new Set() : null)
    } else if (char === CLOSE_OBJECT || char === CLOSE_ARRAY) {
      if (open.length === 1) closeTopValue(at)
      open.pop()
    } else if (char === COMMA && open.length === 1) closeTopValue(at)
  }
  return found({})
}

/** The text with these keys of the outermost object set: a value that stands there is replaced, a key that does not comes first; every other character stays. */
export function setTopLevel(text: string, scan: JsonScan, values: ReadonlyMap<string, string>): string {
  const edits: { start: number; end: number; by: string }[] = []
  const added: string[] = []
  for (const [key, value] of values) {
    const span = scan.topLevel.get(key)
    if (span) edits.push({ ...span, by: value })
    else added.push(`${JSON.stringify(key)}:${value}`)
  }
  if (added.length > 0) {
    const start = text.indexOf('{') + 1
    edits.push({ start, end: start, by: added.join(',') + (scan.topLevel.size > 0 ? ',' : '') })
  }
  let edited = ''
  let from = 0
  for (const { start, end, by } of edits.sort((a, b) => a.start - b.start)) {
    edited += text.slice(from, start) + by
    from = end
  }
  return edited + text.slice(from)
}

/** An object of only these keys of the outermost object, each value as it was written. */
export function pickTopLevel(text: string, scan: JsonScan, keys: readonly string[]): string {
  const members = keys.flatMap((key) => {
    const span = scan.topLevel.get(key)
    return span ? [`${JSON.stringify(key)}:${text.slice(span.start, span.end)}`] : []
  })
  return `{${members.join(',')}}`
}

/** `\\u` and the number of a letter, a digit or an underscore, behind an even number of backslashes. */
const DISGUISE = /(?<!\\)(?:\\\\)*\\u00(?:3\d|[46][1-9a-f]|[57][\da]|5f)/i

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
