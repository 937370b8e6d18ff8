/** Follows a run until it has ended: events say that something changed, the resources say what. */
import type { Event, Run } from '@autovibe/contract'
import { AutovibeError } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import { plain } from '../render/text.ts'
import { hasEnded, isSettled, type Moment, momentsSince, NOTHING_TOLD, type Seen, type Told } from './moments.ts'

export interface FollowOptions {
  readonly runId: string
  /** The operation that brings the run about; its steps are shown. */
  readonly operationId?: string | undefined
  readonly signal: AbortSignal
}

/** How long the last checkpoints may take to be verified after the run has ended. */
const SETTLE_MS = 60_000
/** How long a run may stay open after the operation that should have brought it about has failed. */
const FAILED_MS = 5_000
/** A look without an event, should one ever be missing. */
const LOOK_MS = 5_000
/** Steps that are looked at; what more there are costs is told as beside them. */
const STEPS_MAX = 10_000
/** Events in quick succession become one look. */
const GATHER_MS = 25

/** The moments of a run in order; the return value is the last that was seen of it. Ends early, without an error, when the signal fires. */
export async function* followRun(client: Autovibe, options: FollowOptions): AsyncGenerator<Moment, Seen, void> {
  const stop = new AbortController()
  const signal = AbortSignal.any([options.signal, stop.signal])
  const first = await client.runs.get(options.runId, { signal })
  const queue: Moment[] = []
  const bell = new Bell()
  let failure: unknown
  const listening = listen(client, first.machine_id, options.runId, queue, bell, signal).catch((thrown: unknown) => {
    failure = thrown
    bell.ring()
  })
  let told: Told = NOTHING_TOLD
  let seen: Seen = { operation: null, run: first, steps: [], checkpoints: [], isWhole: false }
  let endedAt: number | undefined
  let failedAt: number | undefined
  try {
    for (;;) {
      await bell.wait(LOOK_MS, signal)
      if (signal.aborted) return seen
      if (failure !== undefined) throw failure
      await new Promise((resolve) => setTimeout(resolve, GATHER_MS))
      bell.reset()
      yield* queue.splice(0)
      const now = await look(client, options, signal)
      // A run that rests does not go on before its Hub is back; whoever waits for it is told where it stands.
      if (!now && seen.run.state === 'paused') return seen
      if (!now) continue
      seen = now
      const next = momentsSince(told, seen)
      told = next.told
      yield* next.moments
      if (hasEnded(seen.run) || seen.run.state === 'paused') endedAt ??= performance.now()
      else endedAt = undefined
      if (seen.operation && seen.operation.state !== 'done' && seen.operation.ended_at !== null) failedAt ??= performance.now()
      if (endedAt !== undefined && (isSettled(seen) || performance.now() - endedAt > SETTLE_MS)) return seen
      if (failedAt !== undefined && performance.now() - failedAt > FAILED_MS) return seen
      if (endedAt !== undefined || failedAt !== undefined) bell.ringIn(500)
    }
  } finally {
    stop.abort()
    await listening
  }
}

async function listen(client: Autovibe, machine: string, runId: string, queue: Moment[], bell: Bell, signal: AbortSignal): Promise<void> {
  let lost = false
  const noticed = new Set<string>()
  const events = client.events({
    machine: machine as Event['machine_id'] & string,
    signal,
    onConnection: (change) => {
      if (change.state === 'open') {
        if (lost) queue.push({ type: 'hub_back' })
        lost = false
      } else if (!lost) {
        lost = true
        queue.push({ type: 'hub_lost', reason: change.reason })
      }
      bell.ring()
    },
  })
  for await (const event of events) {
    if (event.run_id !== null && event.run_id !== runId) continue
    const moment = momentOf(event)
    // Near the limit every call is clamped; once is enough to know.
    if (moment?.type === 'notice' && moment.event === 'gateway.call_clamped') {
      if (noticed.has(moment.event)) continue
      noticed.add(moment.event)
    }
    // What is only told live may be dropped when it comes faster than it can be shown.
    if (moment && queue.length < 1000) queue.push(moment)
    bell.ring()
  }
}

/** Undefined while the Hub is away: the stream says when it is back. */
async function look(client: Autovibe, options: FollowOptions, signal: AbortSignal): Promise<Seen | undefined> {
  try {
    const run = await client.runs.get(options.runId, { signal })
    const [operation, steps, checkpoints] = await Promise.all([
      options.operationId === undefined ? null : client.operations.get(options.operationId, { signal }),
      client.runs.steps(options.runId, { signal }).take(STEPS_MAX),
      client.checkpoints.list({ machine: run.machine_id }, { signal }).take(10_000),
    ])
    // The run is asked again last: when it stands as before, its sum and number are those of the steps in between.
    const now = await client.runs.get(options.runId, { signal })
    const isSame = now.spent === run.spent && now.state === run.state && now.steps === run.steps
    return {
      operation,
      run: now,
      steps,
      isWhole: isSame && (now.steps === steps.length || steps.length === STEPS_MAX) && !(await isStopping(client, now, signal)),
      checkpoints: checkpoints.filter((checkpoint) => checkpoint.run_id === run.id || (checkpoint.run_id === null && checkpoint.created_at >= run.created_at)),
    }
  } catch (thrown) {
    if (signal.aborted) return undefined
    if (thrown instanceof AutovibeError && (thrown.code === 'hub.unreachable' || thrown.code === 'hub.database')) return undefined
    throw thrown
  }
}

/** Until its machine has stopped, a paused run may still tell of what it did. */
async function isStopping(client: Autovibe, run: Run, signal: AbortSignal): Promise<boolean> {
  return run.state === 'paused' && (await client.machines.get(run.machine_id, { signal })).state === 'stopping'
}

const NOTICES: Readonly<Record<string, string>> = {
  'budget.threshold': 'The budget is nearly used up',
  'budget.exhausted': 'The budget is at its end',
  'gateway.call_clamped': 'The longest possible answer is now limited by what the budget allows',
  'gateway.call_refused': 'A model call was refused',
  'gateway.upstream_down': 'The provider does not answer',
  'gateway.upstream_up': 'The provider answers again',
  'operation.stuck': 'An operation is stuck and waits for a person: autovibe operation list --state stuck',
  'operation.deadline': 'A step takes longer than it should',
}

function momentOf(event: Event): Moment | undefined {
  const text = (name: string) => (typeof event.data[name] === 'string' ? plain(event.data[name]) : '')
  if (event.type === 'step.tool_started') return { type: 'tool_started', name: text('name') || text('tool'), summary: text('summary') }
  const notice = NOTICES[event.type]
  if (notice === undefined) return undefined
  const detail = text('reason') || text('message') || text('detail')
  return { type: 'notice', event: event.type, code: text('code') || null, text: detail === '' ? notice : `${notice} (${detail})` }
}

/** Rung by whoever has news; one waits for it. */
class Bell {
  #rung = false
  #wake: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined

  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  ringIn(ms: number): void {
    this.#timer ??= setTimeout(() => this.ring(), ms)
  }

  reset(): void {
    this.#rung = false
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Returns when it was rung, after `ms` at the latest, or when the signal fires. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#rung || signal.aborted) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => done(), ms)
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#wake = done
      signal.addEventListener('abort', done, { once: true })
    })
    this.#wake = undefined
  }
}
