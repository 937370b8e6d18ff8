/** Reads the agent's own cost figure from its JSON text, digit by digit, because a float would not compare with a ledger. */

/** A decimal number as JSON writes it, in nano-US-dollars, rounded half up at the nano-dollar; undefined when it is no plain amount. */
export function nanoUsdOf(decimal: string): bigint | undefined {
  const match = /^([0-9]{1,12})(?:\.([0-9]{1,400}))?(?:[eE]([+-]?[0-9]{1,3}))?$/.exec(decimal)
  if (!match) return undefined
  const [, whole = '0', fraction = '', exponent = '0'] = match
  // value = digits * 10^scale; wanted is digits * 10^(scale + 9).
  const digits = BigInt(whole + fraction)
  const shift = Number(exponent) - fraction.length + 9
  if (shift > 30) return undefined
  if (shift >= 0) return digits * 10n ** BigInt(shift)
  const unit = 10n ** BigInt(-shift)
  return (digits + unit / 2n) / unit
}

/** JSON in which the given number is kept as its own text. Throws SyntaxError. */
export function parseKeeping(line: string, key: string): unknown {
  return JSON.parse(line, keepSource(key) as (this: unknown, key: string, value: unknown) => unknown)
}

/** The third argument holds the text that a primitive stood as (JSON.parse source text access, in Node since 21). */
function keepSource(wanted: string): (key: string, value: unknown, context: { source?: string }) => unknown {
  return (key, value, context) => (key === wanted && typeof value === 'number' ? (context.source ?? String(value)) : value)
}
