/** Asks the Hub for checkpoints at quiet points: decides by core/triggers, holds the gate meanwhile, goes on without one when the Hub stays busy. */

import { AutovibeError, type BudgetStatus, type CheckpointAnswer, type RequestCheckpoint, type TriggerSettings } from '@autovibe/contract'
import {
  beginTriggers,
  checkpointTaken,
  countsAsRisky,
  type Money,
  type QuietPoint,
  reachQuietPoint,
  type TriggerState,
} from '@autovibe/core/triggers/checkpoint-trigger.ts'
import type { RunOrder } from '../adapters/adapter.ts'
import { backoffMs, pause } from '../door/backoff.ts'
import { HubLost } from '../door/wire.ts'
import { log, wordsOf } from '../log.ts'
import type { Gate } from './gate.ts'

export interface CheckpointDoor {
  checkpoint(wish: RequestCheckpoint, signal?: AbortSignal): Promise<CheckpointAnswer>
}

const TRIES = 5
/** The untouched source is what every later diff stands on, so it is worth more waiting. */
const TRIES_START = 20
const BUSY_BACKOFF = { firstMs: 100, mostMs: 5_000 }

export class Checkpoints {
  readonly #door: CheckpointDoor
  readonly #order: RunOrder
  readonly #gate: Gate
  readonly #settings: () => TriggerSettings
  readonly #money: () => Money
  readonly #startKept: () => Promise<void>
  readonly #waited: (trigger: RequestCheckpoint['trigger'], waitedMs: number) => void
  #state: TriggerState
  #step: number

  constructor(parts: {
    door: CheckpointDoor
    order: RunOrder
    gate: Gate
    /** As the project says now. */
    settings: () => TriggerSettings
    status: () => BudgetStatus | undefined
    startPending: boolean
    startKept: () => Promise<void>
    /** Told how long the agent stood still for a checkpoint that was taken. */
    waited: (trigger: RequestCheckpoint['trigger'], waitedMs: number) => void
  }) {
    this.#door = parts.door
    this.#order = parts.order
    this.#gate = parts.gate
    this.#settings = parts.settings
    this.#money = () => ({ spentNanoUsd: BigInt(parts.status()?.spent ?? 0), limitNanoUsd: BigInt(parts.order.limit) })
    this.#startKept = parts.startKept
    this.#waited = parts.waited
    this.#state = beginTriggers(performance.now(), parts.startPending, this.#money())
    this.#step = 0
  }

  /** The step that is under way, for the record of the next checkpoint. */
  atStep(index: number): void {
    this.#step = index
  }

  /** Whether one may be due before this command. */
  isRisky(command: string): boolean {
    return countsAsRisky(this.#settings(), command)
  }

  /** Takes a checkpoint here if one is due. Rejects only with the signal's reason. */
  async quietPoint(point: QuietPoint, signal: AbortSignal): Promise<void> {
    // A clock that nobody sets: otherwise the floor would last for as long as it was set back.
    const { state, trigger } = reachQuietPoint(this.#settings(), this.#state, point, performance.now(), this.#money())
    this.#state = state
    if (trigger === null) return
    const wasStart = this.#state.startPending
    const stillSince = performance.now()
    let isTaken = false
    try {
      await this.#gate.hold(signal)
      isTaken = await this.#ask(trigger, signal)
      if (!isTaken) return
      this.#state = checkpointTaken(this.#state, performance.now(), this.#money())
      if (wasStart) await this.#startKept()
    } finally {
      await this.#gate.release()
      if (isTaken) this.#waited(trigger, performance.now() - stillSince)
    }
  }

  async #ask(trigger: RequestCheckpoint['trigger'], signal: AbortSignal): Promise<boolean> {
    const wish: RequestCheckpoint = { run_id: this.#order.id, trigger, step: this.#step, label: null }
    const tries = trigger === 'start' ? TRIES_START : TRIES
    for (let attempt = 0; attempt < tries; attempt++) {
      try {
        const answer = await this.#door.checkpoint(wish, signal)
        if (answer.state !== 'failed') return true
        log('a checkpoint failed', { trigger, reason: answer.state_reason })
        if (trigger !== 'start') return false
        await pause(backoffMs(BUSY_BACKOFF, attempt, Math.random()), signal)
      } catch (error) {
        signal.throwIfAborted()
        const mayRetry = error instanceof HubLost || (error instanceof AutovibeError && error.retryable)
        log('a checkpoint was not taken', { trigger, attempt: attempt + 1, reason: wordsOf(error) })
        if (!mayRetry) return false
        if (attempt + 1 < tries) await pause(backoffMs(BUSY_BACKOFF, attempt, Math.random()), signal)
      }
    }
    return false
  }
}
