/** Limits of machines as people type and read them. */
import { AutovibeError, type MachineLimits, MachineLimitsChange } from '@autovibe/contract'
import type { LimitOptions } from './commands/limit-options.ts'
import { bytes, duration } from './render/text.ts'

const SIZES: Readonly<Record<string, number>> = {
  b: 1,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
  tib: 1024 ** 4,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
}
const DURATIONS: Readonly<Record<string, number>> = { s: 1, m: 60, min: 60, h: 3600, d: 86_400 }

/** What was given, as the wire wants it; `request.invalid` for what is no such amount. */
export function readLimits({ cores, memory, processes, disk, wall }: LimitOptions): MachineLimitsChange {
  const given = {
    ...(cores === undefined ? {} : { cores: amount(cores, {}, '--cores', '0.5') }),
    ...(memory === undefined ? {} : { memory_bytes: readBytes(memory, '--memory', '2GiB') }),
    ...(processes === undefined ? {} : { processes: whole(processes, {}, '--processes', '512') }),
    ...(disk === undefined ? {} : { disk_bytes: readBytes(disk, '--disk', '10GiB') }),
    ...(wall === undefined ? {} : { wall_seconds: readSeconds(wall, '--wall', '2h') }),
  }
  const read = MachineLimitsChange.safeParse(given)
  if (read.success) return read.data
  const [issue] = read.error.issues
  const { option = '', unit = String, example = '' } = WORDS[String(issue?.path[0])] ?? {}
  const range =
    issue?.code === 'too_small'
      ? `at least ${unit(Number(issue.minimum))}`
      : issue?.code === 'too_big'
        ? `at most ${unit(Number(issue.maximum))}`
        : 'another amount'
  throw new AutovibeError('request.invalid', `${option} takes ${range}.`, { fix: `${option} ${example}` })
}

const WORDS: Readonly<Record<string, { readonly option: string; readonly unit: (amount: number) => string; readonly example: string }>> = {
  cores: { option: '--cores', unit: String, example: '0.5' },
  memory_bytes: { option: '--memory', unit: bytes, example: '2GiB' },
  processes: { option: '--processes', unit: String, example: '512' },
  disk_bytes: { option: '--disk', unit: bytes, example: '10GiB' },
  wall_seconds: { option: '--wall', unit: (seconds) => duration(seconds * 1000), example: '2h' },
}

/** A number with one of the units, or with none at all. */
function amount(text: string, units: Readonly<Record<string, number>>, option: string, example: string): number {
  const [, number = '', unit = ''] = /^([0-9]{1,16}(?:\.[0-9]{1,6})?) ?([a-zA-Z]{0,4})$/.exec(text.trim()) ?? []
  const factor = unit === '' ? 1 : units[unit.toLowerCase()]
  if (number === '' || factor === undefined) {
    const known = units === SIZES ? ' with B, KiB, MiB, GiB or TiB' : units === DURATIONS ? ' with s, m, h or d' : ''
    // GB for GiB is the commonest of these.
    const meant = units === SIZES && number !== '' && /^[kmgt]b$/i.test(unit) ? `${number}${unit.charAt(0).toUpperCase()}iB` : example
    throw new AutovibeError('request.invalid', `${option} takes a number${known}, not ${JSON.stringify(text)}.`, { fix: `${option} ${meant}` })
  }
  return Number(number) * factor
}

/** A time as a person types it, in seconds. A bare number is refused: whoever means minutes would not see that it was taken as seconds. */
export function readSeconds(text: string, option: string, example: string): number {
  assertUnit(text, option, example, Number.POSITIVE_INFINITY)
  return whole(text, DURATIONS, option, example)
}

/** A size as a person types it. A bare number is one of bytes, unless it is so small that nobody means those. */
function readBytes(text: string, option: string, example: string): number {
  assertUnit(text, option, example, 1024 ** 2)
  return whole(text, SIZES, option, example)
}

/** `request.invalid` for a bare number below `bareFrom`, and from 1 on: nothing at all needs no unit. */
function assertUnit(text: string, option: string, example: string, bareFrom: number): void {
  const number = text.trim()
  if (!/^[0-9]{1,16}(\.[0-9]{1,6})?$/.test(number) || Number(number) === 0 || Number(number) >= bareFrom) return
  throw new AutovibeError('request.invalid', `${option}: ${number} of what?`, { fix: `${option} ${number}${example.replace(/^[0-9.]+/, '')}` })
}

const whole = (...given: Parameters<typeof amount>): number => Math.round(amount(...given))

/** Each that is set, in the order in which people give them. */
export function limitsInWords(limits: MachineLimitsChange): string[] {
  const { cores, memory_bytes, processes, disk_bytes, wall_seconds } = limits
  return [
    ...(cores === undefined ? [] : [`${cores} ${cores === 1 ? 'core' : 'cores'}`]),
    ...(memory_bytes === undefined ? [] : [`${bytes(memory_bytes)} of memory`]),
    ...(processes === undefined ? [] : [`${processes} processes`]),
    ...(disk_bytes === undefined ? [] : [`${bytes(disk_bytes)} of disk`]),
    ...(wall_seconds === undefined ? [] : [`${duration(wall_seconds * 1000)} at work`]),
  ]
}

export const describeLimits = (limits: MachineLimits | null): string => (limits === null ? 'as the host allows' : limitsInWords(limits).join(', '))
