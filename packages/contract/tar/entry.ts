/** One entry of a tar as we write and read it: names are bytes, times exact. */
export interface TarEntry {
  /** As it stands in the archive; a folder's without its closing slash. */
  readonly path: Uint8Array
  /** `link`: a hard link to what `target` names in the same archive. `special`: a device, a pipe or the like. */
  readonly type: 'file' | 'directory' | 'symlink' | 'link' | 'special'
  readonly mode: number
  /** Of the content that follows. */
  readonly size: number
  readonly mtimeMs: number
  readonly target: Uint8Array | null
}

export const BLOCK_BYTES = 512

/** Two blocks of zeros: what stands at the end. */
export const tarEnd = (): Uint8Array => new Uint8Array(2 * BLOCK_BYTES)

/** What fills the last block of a content of this size. */
export const tarPadding = (size: number): Uint8Array => new Uint8Array((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES)

/** The sum of a header's bytes, its own field counted as blanks (POSIX.1-2008, pax: ustar Interchange Format). */
export function headerSum(block: Uint8Array): number {
  let sum = 8 * 0x20
  for (let at = 0; at < BLOCK_BYTES; at++) if (at < 148 || at >= 156) sum += block[at] ?? 0
  return sum
}

/** Milliseconds as a decimal number of seconds, to the last digit, and back: a shifted point changes no number. */
export const secondsOf = (ms: number): string => shifted(ms, -3)
/** NaN for what is no decimal number. */
export const millisecondsOf = (seconds: string): number => (/^-?\d{1,400}(?:\.\d{1,400})?$/.test(seconds) ? Number(`${seconds}e3`) : Number.NaN)

function shifted(value: number, by: number): string {
  const [digits = '', exponent = '0'] = Math.abs(value).toExponential().split('e')
  const [whole = '', fraction = ''] = digits.split('.')
  const all = whole + fraction
  const point = whole.length + Number(exponent) + by
  const before = point <= 0 ? '0' : all.slice(0, point).padEnd(point, '0')
  const after = (point <= 0 ? '0'.repeat(-point) + all : all.slice(point)).replace(/0+$/, '')
  return `${value < 0 ? '-' : ''}${before}${after === '' ? '' : `.${after}`}`
}
