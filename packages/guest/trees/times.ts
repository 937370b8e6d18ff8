/**
 * Times of files. Node hands them to the kernel as seconds in a double, which tells a quarter of a microsecond apart in this century: so a copy has its time to the nearest
 * microsecond, and a copy of the copy has the same.
 */

const NS_PER_SECOND = 1_000_000_000n

/** As Node itself makes the one of the other, to the last digit. */
export const millisecondsOf = (ns: bigint): number => Number(ns / NS_PER_SECOND) * 1000 + Number(ns % NS_PER_SECOND) / 1e6

/** The nearest one. */
export const microsecondsOf = (ns: bigint): bigint => (ns >= 0n ? ns + 500n : ns - 500n) / 1000n

/** Text, because Node takes a negative number to be now. Where the nearest double is the one below, a quarter of a microsecond is added, so that nothing cuts it off to the one before. */
export function timeText(us: bigint): string {
  const plain = decimal(us * 100n)
  const seconds = Number(plain)
  const isBelow = Math.trunc((seconds - Math.floor(seconds)) * 1e9) < Number(((us % US_PER_SECOND) + US_PER_SECOND) % US_PER_SECOND) * 1000
  return isBelow ? decimal(us * 100n + 25n) : plain
}

const US_PER_SECOND = 1_000_000n

function decimal(hundredthsOfUs: bigint): string {
  const digits = (hundredthsOfUs < 0n ? -hundredthsOfUs : hundredthsOfUs).toString().padStart(9, '0')
  return `${hundredthsOfUs < 0n ? '-' : ''}${digits.slice(0, -8)}.${digits.slice(-8)}`
}
