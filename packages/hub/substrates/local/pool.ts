/** The slots that wait: booted in the background, as many as the last minutes say, taken by the next starts. */
import { freemem } from 'node:os'
import type { MachineId } from '@autovibe/contract'
import { rememberedStarts, warmTarget } from '@autovibe/core/machines/warm-pool.ts'
import type { Host } from './host.ts'
import { bootSlot, endSlot, isWaiting } from './slots.ts'

/** A machine that has just been given its project needs the processor more than the next one. */
const REFILL_AFTER_MS = 400
const LOOK_EVERY_MS = 15_000
/** An agent waits twice as long, and then ends by itself: nobody may come any more. */
const OLDEST_MS = 15 * 60_000
/** What a waiting machine takes, with its pages that are shared left out of account. */
const SLOT_BYTES = 64 * 1024 ** 2
/** The part of the free memory that may wait. */
const MEMORY_SHARE = 0.1

export class Pool {
  readonly #host: Host
  readonly #most: number
  readonly #waiting: { readonly slot: MachineId; readonly since: number }[] = []
  readonly #closing = new AbortController()
  #starts: readonly number[] = []
  #tending: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout

  /** `most`: slots that wait at once; none when it is 0. */
  constructor(host: Host, most: number) {
    this.#host = host
    this.#most = most
    this.#timer = this.#look(LOOK_EVERY_MS)
  }

  /** A slot for a machine that starts now, if one waits; the start counts for the pool's size. */
  async take(): Promise<MachineId | null> {
    const now = Date.now()
    this.#starts = rememberedStarts([...this.#starts, now], now, this.#most)
    this.#timer = this.#look(REFILL_AFTER_MS)
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (await isWaiting(this.#host, next.slot)) return next.slot
      await endSlot(this.#host, next.slot)
    }
    return null
  }

  /** Boots until so many wait, whatever the last minutes say. */
  fill(count: number): Promise<void> {
    const filled = this.#tending.then(() => this.#fill(count))
    this.#tending = filled.catch(() => undefined)
    return filled
  }

  /** Returns when nothing is being booted or ended. */
  settled(): Promise<void> {
    return this.#tending
  }

  /** Ends all that wait. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearTimeout(this.#timer)
    await this.#tending
    for (const { slot } of this.#waiting.splice(0)) await endSlot(this.#host, slot)
  }

  #look(afterMs: number): NodeJS.Timeout {
    clearTimeout(this.#timer)
    return setTimeout(() => {
      this.#tending = this.#tending.then(() => this.#tend())
      this.#timer = this.#look(LOOK_EVERY_MS)
    }, afterMs).unref()
  }

  async #tend(): Promise<void> {
    try {
      const now = Date.now()
      const target = warmTarget(this.#starts, now, Math.min(this.#most, Math.floor((freemem() * MEMORY_SHARE) / SLOT_BYTES)))
      while (this.#waiting.length > target || (this.#waiting[0]?.since ?? now) < now - OLDEST_MS) {
        const oldest = this.#waiting.shift()
        if (oldest) await endSlot(this.#host, oldest.slot)
      }
      if (!this.#closing.signal.aborted) await this.#fill(target)
    } catch (error) {
      if (this.#closing.signal.aborted) return
      // Starts go on without one, as they do when none waits.
      this.#host.options.logger.warn({ err: error }, 'a machine could not be booted in advance')
    }
  }
  async #fill(count: number): Promise<void> {
    while (this.#waiting.length < count) this.#waiting.push({ slot: await bootSlot(this.#host, this.#closing.signal), since: Date.now() })
  }
}
