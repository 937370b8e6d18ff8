/** The machine door as functions: every request of the agent, tried until the Hub has answered it. */

import type { IncomingMessage } from 'node:http'
import {
  AutovibeError,
  BudgetStatus,
  CheckpointAnswer,
  DOOR_LIMITS,
  type EventBatch,
  EventBatchAck,
  Instructions,
  Problem,
  type RequestCheckpoint,
  type RunId,
  type RunReport,
  type UsageReport,
} from '@autovibe/contract'
import { HUB_BACKOFF, waitBackoff } from './backoff.ts'
import { register } from './register.ts'
import { type DoorAnswer, type DoorRequest, type DoorWire, HubLost } from './wire.ts'

const ANSWER_MS = 30_000
/** A freeze waits for the substrate; the Hub has its own, shorter deadline. */
const CHECKPOINT_MS = 180_000
/** It is not there, or cannot be read; with any other status the Hub is not ready, or does not know this boot yet. */
const NO_SOURCE = new Set([404, 500])

export class Door {
  readonly #wire: DoorWire
  readonly #bootId: string
  #registering: Promise<unknown> | undefined
  /** How often it registered again. */
  #registrations = 0

  constructor(wire: DoorWire, bootId: string) {
    this.#wire = wire
    this.#bootId = bootId
  }

  async instructions(after: number, waitSeconds: number, signal?: AbortSignal): Promise<Instructions> {
    const path = `/door/instructions?after=${after}&wait=${waitSeconds}`
    return read(Instructions, await this.#ask({ method: 'GET', path, timeoutMs: (DOOR_LIMITS.longPollSeconds + 15) * 1000, signal }))
  }

  /** Resolves with the number of the newest event that the Hub has stored. */
  async events(events: EventBatch['events'], signal?: AbortSignal): Promise<number> {
    const body: EventBatch = { boot_id: this.#bootId, events }
    return read(EventBatchAck, await this.#ask({ method: 'POST', path: '/door/events', body, timeoutMs: ANSWER_MS, signal })).stored_seq
  }

  /** One try: the next heartbeat comes anyway. Throws HubLost. */
  async heartbeat(quiet: boolean, rssBytes: number, signal?: AbortSignal): Promise<BudgetStatus> {
    const body = { boot_id: this.#bootId, rss_bytes: rssBytes, quiet }
    return read(BudgetStatus, await this.#askOnce({ method: 'POST', path: '/door/heartbeat', body, timeoutMs: ANSWER_MS, signal }))
  }

  async usage(report: UsageReport, signal?: AbortSignal): Promise<BudgetStatus> {
    return read(BudgetStatus, await this.#ask({ method: 'POST', path: '/door/usage', body: report, timeoutMs: ANSWER_MS, signal }))
  }

  /** Answered once the tree is frozen. Throws `conflict.busy` when another operation is under way, HubLost when the answer was lost. */
  async checkpoint(wish: RequestCheckpoint, signal?: AbortSignal): Promise<CheckpointAnswer> {
    return read(CheckpointAnswer, await this.#askOnce({ method: 'POST', path: '/door/checkpoints', body: wish, timeoutMs: CHECKPOINT_MS, signal }))
  }

  async reportRun(runId: RunId, report: RunReport, signal?: AbortSignal): Promise<Instructions> {
    return read(Instructions, await this.#ask({ method: 'PUT', path: `/door/runs/${runId}/state`, body: report, timeoutMs: ANSWER_MS, signal }))
  }

  /** The git bundle, as a stream. Throws HubLost, and `project.source_invalid` when the Hub is there and does not give it. */
  async source(signal?: AbortSignal): Promise<IncomingMessage> {
    const response = await this.#wire.open({ method: 'GET', path: '/door/source', timeoutMs: ANSWER_MS, signal })
    if (response.statusCode === 200) return response
    response.resume()
    const words = `The Hub answered the request for the source with status ${response.statusCode}.`
    throw NO_SOURCE.has(response.statusCode ?? 0) ? new AutovibeError('project.source_invalid', words) : new HubLost(words)
  }

  async #ask(ask: DoorRequest): Promise<unknown> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#askOnce(ask)
      } catch (error) {
        if (!(error instanceof HubLost)) throw error
        await waitBackoff(HUB_BACKOFF, attempt, ask.signal)
      }
    }
  }

  /** A Hub that does not know this boot is told of it, and asked once more. */
  async #askOnce(ask: DoorRequest): Promise<unknown> {
    const before = this.#registrations
    const first = await this.#wire.send(ask)
    if (!isStranger(first)) return outcome(first)
    // Another request may have been answered so, and have registered, while this one was on its way.
    if (this.#registrations === before) await this.#registerAgain(ask.signal)
    return outcome(await this.#wire.send(ask))
  }

  async #registerAgain(signal: AbortSignal | undefined): Promise<void> {
    this.#registering ??= register(this.#wire, this.#bootId, signal)
      .then(() => {
        this.#registrations++
      })
      .finally(() => {
        this.#registering = undefined
      })
    await this.#registering
  }
}

/** 401 and 409 mean that the Hub does not know this boot, unless it says that it is merely busy. */
function isStranger(answer: DoorAnswer): boolean {
  if (answer.status !== 401 && answer.status !== 409) return false
  return problemOf(answer)?.retryable !== true
}

/** The answer's body; a status of 5xx counts as a lost Hub, any other refusal is thrown as the Hub's own error. */
function outcome(answer: DoorAnswer): unknown {
  if (answer.status >= 200 && answer.status < 300) return parse(answer)
  const problem = problemOf(answer)
  if (answer.status >= 500 || answer.status === 429) throw new HubLost(`status ${answer.status}: ${problem?.detail ?? 'no reason given'}`)
  if (problem) throw AutovibeError.fromProblem(problem)
  throw new AutovibeError('internal', `The Hub answered with status ${answer.status}.`)
}

function problemOf(answer: DoorAnswer): Problem | undefined {
  try {
    return Problem.safeParse(JSON.parse(answer.body.toString('utf8'))).data
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function parse(answer: DoorAnswer): unknown {
  try {
    return JSON.parse(answer.body.toString('utf8'))
  } catch (error) {
    throw new HubLost('the answer is not JSON', { cause: error })
  }
}

function read<T>(schema: { parse(value: unknown): T }, value: unknown): T {
  return schema.parse(value)
}
