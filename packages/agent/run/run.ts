/** One run from its order to its final report: checkpoints, control, the agent itself, the check. */
import type { CheckResult, RunReport } from '@autovibe/contract'
import type { Adapter, AgentEvent, AgentHost, Outcome, Paths, RunOrder } from '../adapters/adapter.ts'
import type { Door } from '../door/door.ts'
import type { EventQueue } from '../door/event-queue.ts'
import type { Heart } from '../door/heart.ts'
import type { Wishes } from '../door/wishes.ts'
import { log, wordsOf } from '../log.ts'
import { runCheck } from '../project/check.ts'
import { Checkpoints } from './checkpoints.ts'
import { dataOf } from './event-data.ts'
import { Gate } from './gate.ts'
import { LimitWatch } from './limit-watch.ts'
import { MoneyOut } from './money-out.ts'
import { obey } from './obey.ts'
import { StateReports } from './state-reports.ts'
import { clip, SUMMARY_MAX } from './text.ts'
import { ResourceTracker, refusalOf } from './tracker.ts'

export interface RunParts {
  readonly door: Door
  readonly wishes: Wishes
  readonly events: EventQueue
  readonly heart: Heart
  readonly paths: Paths
  readonly token: string
  /** The project was just checked out, and its untouched form is in no checkpoint yet. */
  readonly startPending: boolean
  readonly startKept: () => Promise<void>
}

/** Ends when the Hub has the final report. */
export async function executeRun(adapter: Adapter, order: RunOrder, parts: RunParts): Promise<void> {
  const cancelled = new AbortController()
  const ended = new AbortController()
  const gate = new Gate()
  const reports = new StateReports(parts.door, order.id, (document) => parts.wishes.offer(document))
  const tracker = new ResourceTracker(parts.door, order.id, (status) => parts.heart.learn(status))
  tracker.start()
  const obeying = obey(
    { wishes: parts.wishes, heart: parts.heart, gate, reports, runId: order.id, cancel: () => cancelled.abort(new Error('the run was cancelled')) },
    ended.signal,
  ).catch((error: unknown) => {
    if (!ended.signal.aborted) throw error
  })
  try {
    const report = await work(adapter, order, parts, { gate, reports, signal: cancelled.signal })
    // What happened comes before how it ended, and both before the Hub is told that it ended.
    await Promise.all([parts.events.drained(), tracker.finish()])
    await reports.final(report)
  } finally {
    ended.abort()
    await obeying
  }
}

interface Work {
  readonly gate: Gate
  readonly reports: StateReports
  readonly signal: AbortSignal
}

async function work(adapter: Adapter, order: RunOrder, parts: RunParts, { gate, reports, signal }: Work): Promise<RunReport> {
  try {
    await reports.running(signal)
    // What was known may be of the run before.
    await parts.heart.freshStatus()
    const checkpoints = new Checkpoints({
      door: parts.door,
      order,
      gate,
      settings: () => parts.wishes.current?.run?.triggers ?? order.triggers,
      status: () => parts.heart.status,
      startPending: parts.startPending,
      startKept: parts.startKept,
      waited: (trigger, waitedMs) => parts.events.push('run.checkpoint_waited', order.id, { trigger, waited_ms: Math.round(waitedMs * 10) / 10 }),
    })
    await checkpoints.quietPoint({ kind: 'before-first-step' }, signal)
    const outcome = await withHost(order, parts, { gate, reports, signal }, checkpoints, (host) => adapter.run(order, host))
    if (outcome.state === 'cancelled' || signal.aborted) return reportOf({ ...outcome, state: 'cancelled' }, null)
    await checkpoints.quietPoint({ kind: 'run-ended' }, signal)
    if (outcome.state !== 'succeeded' || order.check === null) return reportOf(outcome, null)
    return reportOf(outcome, await check(order.check, order, parts, gate, signal))
  } catch (error) {
    if (signal.aborted) return reportOf({ state: 'cancelled', reason: null, summary: null, agentReportedCostNanoUsd: null }, null)
    log('the run broke', { reason: error instanceof Error ? error.stack : String(error) })
    return reportOf({ state: 'failed', reason: `The agent broke: ${wordsOf(error)}`, summary: null, agentReportedCostNanoUsd: null }, null)
  }
}

async function withHost<T>(order: RunOrder, parts: RunParts, work: Work, checkpoints: Checkpoints, use: (host: AgentHost) => Promise<T>): Promise<T> {
  const { gate, reports, signal } = work
  const money = new MoneyOut(parts.wishes, reports, order.id)
  let open: number | undefined
  let pause: Promise<void> | undefined
  // A limit that is met under a tool and a call that is refused meanwhile are one pause.
  const moneyOut = (reason: string, report: string | null = null): Promise<void> => {
    pause ??= waitForMoney(reason, report).finally(() => {
      pause = undefined
    })
    return pause
  }
  const waitForMoney = async (reason: string, report: string | null): Promise<void> => {
    // What happened comes before the pause, so that whoever is told of the pause has all of it.
    await parts.events.drained()
    await money.wait(reason, report, signal)
    // For the Hub the pause has interrupted the step in which the call was refused.
    if (open !== undefined) tell({ type: 'step.started', index: open })
  }
  const watch = new LimitWatch({ heart: parts.heart, gate, pause: moneyOut, signal })
  const tell = (event: AgentEvent): void => parts.events.push(event.type, order.id, dataOf(event))
  const host: AgentHost = {
    paths: parts.paths,
    token: parts.token,
    signal,
    gate,
    emit: (event) => {
      if (event.type === 'step.started') {
        checkpoints.atStep(event.index)
        open = event.index
      }
      if (event.type === 'step.finished') {
        money.paid()
        if (event.step.index === open) open = undefined
      }
      tell(event)
    },
    isRisky: (command) => checkpoints.isRisky(command),
    quietPoint: (point) => checkpoints.quietPoint(point, signal),
    moneyOut: (reason) => moneyOut(reason),
    isWindingDown: async () => (await parts.heart.freshStatus())?.winding_down ?? false,
    handBack: async (reason, report) => {
      await checkpoints.quietPoint({ kind: 'run-ended' }, signal)
      await moneyOut(reason, report)
    },
    moneyRefusal: async () => (refusalOf(parts.heart.status) === null ? null : refusalOf(await parts.heart.freshStatus())),
    moneyNotice: () => watch.takeNotice(),
  }
  try {
    return await use(host)
  } finally {
    await watch.end()
  }
}

async function check(command: string, order: RunOrder, parts: RunParts, gate: Gate, signal: AbortSignal): Promise<CheckResult> {
  await gate.enter(signal)
  try {
    const result = await runCheck(command, parts.paths, signal)
    signal.throwIfAborted()
    parts.events.push('run.check_finished', order.id, { ...result })
    return result
  } finally {
    gate.leave()
  }
}

/** The check's word counts for the run: what an agent calls finished and the check does not is a failure, and says why. */
function reportOf(outcome: Outcome, checkResult: CheckResult | null): RunReport {
  const checkFailed = checkResult !== null && checkResult.exit_code !== 0
  return {
    state: checkFailed ? 'failed' : outcome.state,
    reason: checkFailed ? 'check failed' : outcome.reason === null ? null : clip(outcome.reason, 2000),
    summary: outcome.summary === null ? null : clip(outcome.summary, SUMMARY_MAX),
    check_result: checkResult,
    agent_reported_cost: outcome.agentReportedCostNanoUsd?.toString() ?? null,
  }
}
