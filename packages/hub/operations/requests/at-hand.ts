/** Refuses what would only hold a working agent up until its substrate can be worked with again. */
import { AutovibeError } from '@autovibe/contract'
import type { Substrate } from '../../substrates/substrate.ts'

export function assertAtHand(substrate: Substrate): void {
  const trouble = substrate.trouble?.() ?? null
  if (trouble !== null) throw new AutovibeError('substrate.away', trouble.detail, trouble.fix === null ? {} : { fix: trouble.fix })
}
