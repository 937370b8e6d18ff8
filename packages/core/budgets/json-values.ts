/** Looks at values of a JSON that somebody else wrote, without trusting their types. */

export type Fields = Readonly<Record<string, unknown>>

/** A JSON object, neither null nor a list. */
export const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value)

/** The object at this key; an empty one when there is none. */
export function fieldsAt(fields: Fields, key: string): Fields {
  const value = fields[key]
  return isFields(value) ? value : {}
}

/** A field that says nothing: left out, or null. */
export const isAbsent = (value: unknown): value is null | undefined => value === undefined || value === null

export const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0

/** A whole number of 0 or more. */
export const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** A count as a provider writes it; null when it is absent or no whole number (a negative or broken figure must not lower a bill). */
export const countOf = (value: unknown): bigint | null => (isCount(value) ? BigInt(value) : null)

export const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null)

/** What the look finds first among the items; null when it finds nothing. */
export function firstOf<T>(items: readonly T[], look: (item: T, index: number) => string | null): string | null {
  for (const [index, item] of items.entries()) {
    const found = look(item, index)
    if (found !== null) return found
  }
  return null
}
