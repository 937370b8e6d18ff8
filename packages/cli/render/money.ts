/** Amounts that stand together, rounded so that they add up as they are shown. */
import { NANO_PER_USD } from '@autovibe/contract'

const DECIMALS_MAX = 9
/** More than any real limit: what the Hub opens where nobody has set one. */
export const UNLIMITED = 2n ** 62n

export interface Account {
  readonly limit: string
  readonly spent: string
  readonly held: string
}

/** What one budget has come to, in words: limit = spent + held + left, digit by digit, or spent + held = limit + over. */
export interface Shares {
  /** Null where nobody has set one. */
  readonly limit: string | null
  readonly spent: string
  readonly held: string
  readonly left: string | null
  readonly over: string | null
}

export function sharesOf(account: Account): Shares {
  const limit = BigInt(account.limit)
  const round = rounding(limit)
  const spent = round(BigInt(account.spent))
  const used = round(BigInt(account.spent) + BigInt(account.held))
  const isLimited = limit < UNLIMITED
  return {
    limit: isLimited ? dollars(limit) : null,
    spent: dollars(spent),
    held: dollars(used - spent),
    left: isLimited && used <= limit ? dollars(limit - used) : null,
    over: isLimited && used > limit ? dollars(used - limit) : null,
  }
}

/** An amount that comes on top, and the sum that it leads to: each such amount is the difference of the two sums around it, as they are shown. */
export function addition(amount: string, sum: string, limit: string): { readonly amount: string; readonly sum: string; readonly limit: string } {
  const of = BigInt(limit)
  const round = rounding(of)
  const after = round(BigInt(sum))
  const before = round(BigInt(sum) - BigInt(amount))
  const fixed = (nanoUsd: bigint): string => dollars(nanoUsd, nanoUsd === 0n ? 2 : decimalsFor(of))
  return { amount: fixed(after - before), sum: fixed(after), limit: dollars(of) }
}

/** Exact, with at least this many decimals. */
export function dollars(nanoUsd: bigint, decimals = 2): string {
  const size = nanoUsd < 0n ? -nanoUsd : nanoUsd
  const fraction = (size % NANO_PER_USD).toString().padStart(DECIMALS_MAX, '0').replace(/0+$/, '').padEnd(decimals, '0')
  return `${nanoUsd < 0n ? '-' : ''}$${size / NANO_PER_USD}.${fraction}`
}

/** Half up, to as many decimals as the limit has itself, at least; so what is within it stays so when it is rounded. */
function rounding(limit: bigint): (nanoUsd: bigint) => bigint {
  const unit = 10n ** BigInt(DECIMALS_MAX - decimalsFor(limit))
  return (nanoUsd) => ((nanoUsd + unit / 2n) / unit) * unit
}

/** Model calls cost fractions of a cent; beside a very small limit even less counts. */
function decimalsFor(limit: bigint): number {
  const usual = limit === 0n || limit >= NANO_PER_USD / 10n ? 4 : limit >= NANO_PER_USD / 10_000n ? 6 : DECIMALS_MAX
  const own = limit >= UNLIMITED ? 0 : (/[1-9]0*$/.exec((limit % NANO_PER_USD).toString().padStart(DECIMALS_MAX, '0'))?.index ?? -1) + 1
  return Math.max(usual, own)
}
