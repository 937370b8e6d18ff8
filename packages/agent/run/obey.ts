/** Follows the Hub's control of a run while it lasts: holds the gate for park and quiesce, lets go for go, ends the run for cancel. */
import type { Instructions } from '@autovibe/contract'
import type { RunOrder } from '../adapters/adapter.ts'
import type { Heart } from '../door/heart.ts'
import type { Wishes } from '../door/wishes.ts'
import type { Gate } from './gate.ts'
import type { StateReports } from './state-reports.ts'

/** What a document wants of one run. */
export type Wanted = 'go' | 'park' | 'quiet' | 'cancel'

/** Without the run, or with another one, the Hub is done with this one; `idle` beside it asks for quiet until it says more. */
export function wantedOf(document: Instructions, runId: RunOrder['id']): Wanted {
  if (document.run?.id !== runId) return 'cancel'
  if (document.control === 'quiesce' || document.control === 'idle') return 'quiet'
  return document.control
}

export interface Obedience {
  readonly wishes: Wishes
  readonly heart: Pick<Heart, 'sayQuiet' | 'endQuiet'>
  readonly gate: Gate
  readonly reports: StateReports
  readonly runId: RunOrder['id']
  cancel(): void
}

/** Runs until `ended` is aborted. While the gate is held the Hub is told after every new document, because it waits for quiet since that one. */
export async function obey(parts: Obedience, ended: AbortSignal): Promise<void> {
  let revision = -1
  while (!ended.aborted) {
    const document = await parts.wishes.newerThan(revision, ended)
    revision = document.revision
    const wanted = wantedOf(document, parts.runId)
    if (wanted === 'cancel') return parts.cancel()
    if (wanted === 'go') continue
    await holdWhile(parts, ended)
    // Read it again: what ended the hold is in the newest document.
    revision = -1
  }
}

async function holdWhile(parts: Obedience, ended: AbortSignal): Promise<void> {
  const over = new AbortController()
  const holding = AbortSignal.any([over.signal, ended])
  const no = (): boolean => false
  const isHeld = parts.gate.hold(holding).then(() => true, no)
  let isQuiet = false
  let isParked = false
  try {
    for (let revision = -1; ; ) {
      const document = await parts.wishes.newerThan(revision, ended)
      revision = document.revision
      const wanted = wantedOf(document, parts.runId)
      // Before the gate opens, so that no tool starts in between.
      if (wanted === 'cancel') parts.cancel()
      if (wanted === 'go' || wanted === 'cancel') return
      // A tool may run for minutes before the gate is quiet; a newer document must not wait for it.
      const held = await Promise.race([isHeld, parts.wishes.newerThan(revision, holding).then(no, no)])
      if (!held) continue
      if (wanted === 'park' && !isParked) {
        isParked = true
        await parts.reports.pause('park', 'parked', ended)
      }
      isQuiet = true
      await parts.heart.sayQuiet()
    }
  } finally {
    over.abort(new Error('the hold is over'))
    await isHeld
    if (isQuiet) await parts.heart.endQuiet()
    await parts.gate.release()
    if (isParked && !ended.aborted) await parts.reports.resume('park', ended)
  }
}
