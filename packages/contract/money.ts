/** Money is a whole number of nano-US-dollars: `bigint` in code, a decimal string on the wire (JSON numbers lose digits above 2^53). */
import { z } from 'zod'

export const NANO_PER_USD = 1_000_000_000n

/** A non-negative whole number in decimal digits, below 2^63: an amount of any resource in its own unit. */
export const Amount = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,18})$/, 'must be a whole number in decimal digits')
  // Zod runs this even when the form is wrong, so it must not throw: digits of equal length compare as text.
  .refine((text) => text.length < 19 || text <= '9223372036854775807', 'must be below 2^63')

/** An amount of money in nano-US-dollars. */
export const NanoUsd = Amount.describe('Nano-US-dollars (1 USD = 1000000000), as a decimal string')

/** Reads what a person types ("2", "2.00", "$0.5") as nano-US-dollars; undefined when it is not a non-negative amount with at most nine decimals. */
export function parseUsd(text: string): bigint | undefined {
  const match = /^\$?([0-9]{1,9})(?:\.([0-9]{1,9}))?$/.exec(text.trim())
  if (!match) return undefined
  const [, whole = '0', fraction = ''] = match
  return BigInt(whole) * NANO_PER_USD + BigInt(fraction.padEnd(9, '0'))
}

/** Writes nano-US-dollars for a person: cents as a rule, as many decimals as a smaller amount needs ("$1.50", "$0.0042"). Rounds half up. */
export function formatUsd(nanoUsd: bigint): string {
  const sign = nanoUsd < 0n ? '-' : ''
  const size = nanoUsd < 0n ? -nanoUsd : nanoUsd
  const decimals = size === 0n || size >= NANO_PER_USD / 10n ? 2 : size >= NANO_PER_USD / 10_000n ? 4 : 6
  const unit = 10n ** BigInt(9 - decimals)
  const rounded = (size + unit / 2n) / unit
  const scale = 10n ** BigInt(decimals)
  return `${sign}$${rounded / scale}.${(rounded % scale).toString().padStart(decimals, '0')}`
}
