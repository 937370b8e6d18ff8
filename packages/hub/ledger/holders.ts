/** Who holds a reservation, where the ledger itself goes by it: what a run has set aside for handing its work back, and the calls that are paid from it. */
import { isId, type RunId } from '@autovibe/contract'

/** The index `reservations_hand_back` and the queries that go by it know this word too. */
const KEPT = 'hand-back '
const DRAWN = 'closing '

/** Nobody has to keep it alive: it lasts as long as the run. */
export const NO_LEASE_MS = 100 * 365 * 24 * 3600_000

export const handBackHolder = (runId: RunId): string => `${KEPT}${runId}`
export const closingHolder = (runId: RunId): string => `${DRAWN}${runId}`

/** The run for which this is set aside. */
export const runOfHandBack = (holder: string): RunId | undefined => runAfter(KEPT, holder)
/** The run whose hand-back this call was paid from. */
export const runOfClosing = (holder: string): RunId | undefined => runAfter(DRAWN, holder)
/** Either. */
export const runOfHolder = (holder: string): RunId | undefined => runOfHandBack(holder) ?? runOfClosing(holder)

function runAfter(word: string, holder: string): RunId | undefined {
  const id = holder.startsWith(word) ? holder.slice(word.length) : ''
  return isId('run', id) ? id : undefined
}
