/** What happened, on its way to the Hub: batched, bounded, resent until the Hub has it, each event stored once by its number. */
import type { MACHINE_EVENT_TYPES, MachineEvent, RunId } from '@autovibe/contract'
import { log, wordsOf } from '../log.ts'
import type { Door } from './door.ts'

export type MachineEventType = (typeof MACHINE_EVENT_TYPES)[number]
export type WaitingEvent = Omit<MachineEvent, 'seq'>

export const QUEUE_LIMITS = { events: 2_000, batch: 50, flushMs: 100 } as const

/** What a full queue may lose, in this order, the oldest first; all else is kept (its number is bounded by the run's steps). */
const DROPPABLE: readonly MachineEventType[] = ['run.checkpoint_waited', 'run.message', 'step.tool_started', 'step.tool_finished', 'step.started']

/** Adds an event to a queue of at most `most`, dropping the oldest of what may be lost; returns how many were dropped. */
export function admit(queue: WaitingEvent[], event: WaitingEvent, most: number): number {
  queue.push(event)
  let dropped = 0
  while (queue.length > most) {
    const index = DROPPABLE.map((type) => queue.findIndex((waiting) => waiting.type === type)).find((found) => found >= 0)
    if (index === undefined) break
    queue.splice(index, 1)
    dropped++
  }
  return dropped
}

export class EventQueue {
  readonly #door: Pick<Door, 'events'>
  readonly #waiting: WaitingEvent[] = []
  readonly #stopping = new AbortController()
  #seq = 0
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | undefined
  #dropped = 0

  constructor(door: Pick<Door, 'events'>) {
    this.#door = door
  }

  push(type: MachineEventType, runId: RunId, data: MachineEvent['data']): void {
    this.#dropped += admit(this.#waiting, { type, run_id: runId, at: new Date().toISOString(), data }, QUEUE_LIMITS.events)
    if (this.#waiting.length >= QUEUE_LIMITS.batch) this.#flush()
    else this.#timer ??= setTimeout(() => this.#flush(), QUEUE_LIMITS.flushMs)
  }

  /** Resolves when the Hub has everything that was pushed before. */
  async drained(): Promise<void> {
    while (this.#waiting.length > 0 || this.#sending !== undefined) {
      this.#flush()
      await this.#sending
    }
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#stopping.abort()
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined
    })
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#stopping.signal.aborted) {
      if (this.#dropped > 0) log('events dropped: the Hub was away too long', { dropped: this.#dropped })
      this.#dropped = 0
      // Numbered when it leaves, so that what was dropped leaves no gap.
      const batch = this.#waiting.splice(0, QUEUE_LIMITS.batch).map((event) => ({ ...event, seq: ++this.#seq }))
      try {
        await this.#door.events(batch, this.#stopping.signal)
      } catch (error) {
        if (this.#stopping.signal.aborted) return
        log('the Hub refused a batch of events', { events: batch.length, first_seq: batch[0]?.seq, reason: wordsOf(error) })
      }
    }
  }
}
