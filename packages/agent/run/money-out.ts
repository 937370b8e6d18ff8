/** What happens when the money is out: the run is reported as paused and waits, with everything kept, until the Hub says go again. */

import type { RunOrder } from '../adapters/adapter.ts'
import { backoffMs } from '../door/backoff.ts'
import type { Wishes } from '../door/wishes.ts'
import { wantedOf } from './obey.ts'
import type { StateReports } from './state-reports.ts'

/** A Hub that never takes its `go` back is asked again, ever more rarely. */
const ASK_AGAIN = { firstMs: 1_000, mostMs: 60_000 }

/** More than any refusal of ours has. */
const REASON_MAX = 4_000
/** What the wire puts before the Hub's own sentence. */
const BEFORE = /^.*?\bautovibe: /s
/** The remedy behind it is a command for people, who are told the right one where they read of the pause. */
const REMEDY = /\s+[^\s:.][^:.]*: autovibe [a-z].*$/s

/** What was refused, in a sentence that always names the budget: by that word a raised limit lets the run go on. */
export function sentenceOf(reason: string): string {
  const sentence = reason.slice(0, REASON_MAX).replace(BEFORE, '').replace(REMEDY, '').trim()
  return /budget/i.test(sentence) ? sentence : `Out of budget: ${sentence}`
}

export class MoneyOut {
  readonly #wishes: Wishes
  readonly #reports: StateReports
  readonly #runId: RunOrder['id']
  #refusals = 0

  constructor(wishes: Wishes, reports: StateReports, runId: RunOrder['id']) {
    this.#wishes = wishes
    this.#reports = reports
    this.#runId = runId
  }

  /** A call went through: the next refusal is a new one. */
  paid(): void {
    this.#refusals = 0
  }

  /** Returns when the call may be tried again; `report` is what the agent says of its work. Rejects with the signal's reason. */
  async wait(reason: string, report: string | null, signal: AbortSignal): Promise<void> {
    await this.#reports.pause('money', sentenceOf(reason), signal, report)
    const patience = AbortSignal.any([signal, AbortSignal.timeout(backoffMs(ASK_AGAIN, this.#refusals++, 1))])
    await this.#untilGo(signal, patience)
    await this.#reports.resume('money', signal)
  }

  /** A `go` that stood before the refusal counts only after a while; one that follows another wish counts at once. */
  async #untilGo(signal: AbortSignal, patience: AbortSignal): Promise<void> {
    let sawStop = false
    let isPatient = true
    for (let revision = -1; ; ) {
      const document = await this.#next(revision, signal, isPatient ? patience : signal)
      if (document === undefined) isPatient = false
      else revision = document.revision
      const current = this.#wishes.current
      const isGo = current !== undefined && wantedOf(current, this.#runId) === 'go'
      if (isGo && (sawStop || !isPatient)) return
      if (!isGo) sawStop = true
    }
  }

  async #next(revision: number, signal: AbortSignal, until: AbortSignal): Promise<{ revision: number } | undefined> {
    try {
      return await this.#wishes.newerThan(revision, until)
    } catch (error) {
      signal.throwIfAborted()
      if (until.aborted) return undefined
      throw error
    }
  }
}
