/** Text that looks like source code to a compressor: lines of a small grammar over a vocabulary, the same for the same seed everywhere. */

const POOL_LINES = 200_000
const WORDS = 3_000
/** Of so many lines one is there already, earlier in the file. */
const REPEATED_ONE_IN = 6
const SYLLABLES =
  'ac al an ar at be bo ca ce co da de di do ed el en er es fa fi fo ga ge ha he id il in is it ki la le li lo ma me mi mo na ne ni no ob on or pa pe po qu ra re ri ro sa se si so ta te ti to ul un ur us va ve vi wa we xe ya ze'.split(
    ' ',
  )
/** `$` is a name, `#` a number. */
const SHAPES = [
  'const $ = await $($, #)',
  'if ($.$ === # && !$) return $',
  '$.$.push({ $: $, $: # })',
  'export function $($: $, $: number): $ {',
  "import { $, $ } from './$/$.ts'",
  'for (const $ of $.$()) $($)',
  '/** The $ of each $, at most # $. */',
  "throw new $('$ $ $ the $ #')",
  'return $.$(($) => $.$ + #)',
  'readonly $: $<$, $>',
  '}',
  '',
]

/** Numbers of 32 bits, each from the one before; the same for the same seed. */
export function numbersFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

let pool: readonly Buffer[] | null = null

/** At least so many bytes, in whole lines. */
export function sourceText(seed: number, bytes: number): Buffer {
  pool ??= linePool()
  const next = numbersFrom(seed)
  const parts: Buffer[] = []
  for (let length = 0; length < bytes; ) {
    const repeated = parts.length > 0 && next() % REPEATED_ONE_IN === 0
    const from = repeated ? parts : pool
    const line = from[next() % from.length] as Buffer
    parts.push(line)
    length += line.length
  }
  return Buffer.concat(parts)
}

function linePool(): readonly Buffer[] {
  const next = numbersFrom(1)
  const one = <T>(of: readonly T[]): T => of[next() % of.length] as T
  const words = Array.from({ length: WORDS }, () => Array.from({ length: 2 + (next() % 3) }, () => one(SYLLABLES)).join(''))
  return Array.from({ length: POOL_LINES }, () => {
    const line = one(SHAPES).replace(/[$#]/g, (hole) => (hole === '$' ? one(words) : String(next() % 1000)))
    return Buffer.from(`${' '.repeat(2 * (next() % 4))}${line}\n`)
  })
}
