/** Tells the Hub how the run stands. A run is paused as long as one cause for it holds, and running again when the last one ends. */
import type { Instructions, RunId, RunReport } from '@autovibe/contract'
import { log, wordsOf } from '../log.ts'
import { clip, SUMMARY_MAX } from './text.ts'

export interface ReportDoor {
  reportRun(runId: RunId, report: RunReport, signal?: AbortSignal): Promise<Instructions>
}

export type PauseCause = 'money' | 'park'

const NOTHING: Omit<RunReport, 'state'> = { reason: null, summary: null, check_result: null, agent_reported_cost: null }

export class StateReports {
  readonly #door: ReportDoor
  readonly #runId: RunId
  readonly #offer: (instructions: Instructions) => void
  readonly #causes = new Map<PauseCause, string>()
  #sending: Promise<void> = Promise.resolve()

  constructor(door: ReportDoor, runId: RunId, offer: (instructions: Instructions) => void) {
    this.#door = door
    this.#runId = runId
    this.#offer = offer
  }

  running(signal: AbortSignal): Promise<void> {
    return this.#send({ ...NOTHING, state: 'running' }, signal)
  }

  async pause(cause: PauseCause, reason: string, signal: AbortSignal, summary: string | null = null): Promise<void> {
    const isFirst = this.#causes.size === 0
    this.#causes.set(cause, reason)
    if (isFirst)
      await this.#send({ ...NOTHING, state: 'paused', reason: reason.slice(0, 2000), summary: summary === null ? null : clip(summary, SUMMARY_MAX) }, signal)
  }

  async resume(cause: PauseCause, signal: AbortSignal): Promise<void> {
    if (this.#causes.delete(cause) && this.#causes.size === 0) await this.running(signal)
  }

  final(report: RunReport): Promise<void> {
    return this.#send(report, undefined)
  }

  /** One after the other, so that the last one sent is the last one that the Hub sees. A refusal is logged: the Hub has decided otherwise. */
  #send(report: RunReport, signal: AbortSignal | undefined): Promise<void> {
    const previous = this.#sending.catch(() => undefined)
    this.#sending = previous.then(async () => {
      try {
        this.#offer(await this.#door.reportRun(this.#runId, report, signal))
      } catch (error) {
        signal?.throwIfAborted()
        log('the Hub refused a report', { state: report.state, reason: wordsOf(error) })
      }
    })
    return this.#sending
  }
}
