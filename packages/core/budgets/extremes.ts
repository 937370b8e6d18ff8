/** The least and the greatest of whole numbers: `Math.min` and `Math.max` take no `bigint`. */

/** The least of at least one number. */
export function least(first: bigint, ...others: readonly bigint[]): bigint {
  let found = first
  for (const other of others) if (other < found) found = other
  return found
}

/** The greatest of at least one number. */
export function greatest(first: bigint, ...others: readonly bigint[]): bigint {
  let found = first
  for (const other of others) if (other > found) found = other
  return found
}
