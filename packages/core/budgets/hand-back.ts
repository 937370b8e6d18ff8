/** How much of a run's limit is set aside for handing its work back, when nobody has said how much. */

/** A tenth of the limit. */
const SHARE = 10n
/** About what one closing answer of a long conversation costs. */
const FLOOR_NANO_USD = 50_000_000n

/** A tenth, but at least five cents, and never more than half: the rest is what the run works with. */
export function defaultHandBack(limitNanoUsd: bigint): bigint {
  const share = limitNanoUsd / SHARE
  const wanted = share > FLOOR_NANO_USD ? share : FLOOR_NANO_USD
  return wanted < limitNanoUsd / 2n ? wanted : limitNanoUsd / 2n
}
