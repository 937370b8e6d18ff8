/**
 * Times of files. Node hands them to the kernel as seconds in a double, which tells a quarter of a microsecond apart in this century: so a copy has its time to the nearest
 * microsecond, and a copy of the copy has the same.
 */

const NS_PER_SECOND = 1_000_000_000n

/** As Node itself makes the one of the other, to the last digit. */
export const millisecondsOf = (ns: bigint): number => Number(ns / NS_PER_SECOND) * 1000 + Number(ns % NS_PER_SECOND) / 1e6

/** The nearest one. */
export const microsecondsOf = (ns: bigint): bigint => (ns >= 0n ? ns + 500n : ns - 500n) / 1000n

/** Text, because Node takes a negative number to be now; a quarter more, so that neither a double nor who cuts it off at the microsecond comes out below. */
export function timeText(us: bigint): string {
  const hundredths = us * 100n + 25n
  const digits = (hundredths < 0n ? -hundredths : hundredths).toString().padStart(9, '0')
  return `${hundredths < 0n ? '-' : ''}${digits.slice(0, -8)}.${digits.slice(-8)}`
}
