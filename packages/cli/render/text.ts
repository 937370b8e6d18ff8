/** Words and numbers for a terminal: what machines say is made harmless first. */
import { formatUsd } from '@autovibe/contract'

/** Text from a machine on one line: without control characters, which could move the cursor, recolour or retitle the terminal. */
export const plain = (text: string): string => text.replace(UNPRINTABLE, ' ').replace(/\s+/g, ' ').trim()

/** Text from a machine on several lines; tabs and line ends stay. */
export const plainBlock = (text: string): string => text.replaceAll('\r\n', '\n').replace(UNPRINTABLE_BUT_LINES, '\ufffd')

// C0, DEL and C1 controls, line and paragraph separators, and the marks that reorder text from right to left.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g
const UNPRINTABLE_BUT_LINES = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

export function truncate(text: string, width: number): string {
  const characters = [...text]
  return characters.length <= width ? text : `${characters.slice(0, Math.max(0, width - 1)).join('')}…`
}

export const usd = (nanoUsd: string): string => formatUsd(BigInt(nanoUsd))

export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`
  const seconds = ms / 1000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** How long ago, in its largest unit. */
export function age(at: string, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(at)) / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`
}

export function count(number: number | bigint | string): string {
  return BigInt(number)
    .toString()
    .replace(/\B(?=([0-9]{3})+$)/g, ',')
}

export function bytes(size: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = size
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

export const plural = (number: number, one: string, many = `${one}s`): string => `${number} ${number === 1 ? one : many}`

/** Columns as wide as their widest cell; the last may be as long as it likes. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => [...(row[column] ?? '')].length)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === cells.length - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - [...cell].length)))
      .join('  ')
      .trimEnd()
  return [line(head), ...rows.map(line)]
}
