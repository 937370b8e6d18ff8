/** Claude Code as an agent: the real binary, talking to the gateway over the machine's socket, continued by its own session. */
import { backoffMs, pause } from '../../door/backoff.ts'
import { log } from '../../log.ts'
import { CLOSING, MONEY_AGAIN, USED_UP } from '../../run/closing.ts'
import type { Adapter, AgentHost, Outcome, RunOrder } from '../adapter.ts'
import { findClaude } from './binary.ts'
import { type InvocationEnd, invoke } from './invocation.ts'
import { type Memory, recall, remember } from './memory.ts'
import { type ApiProblem, StreamReader } from './stream.ts'

const GO_ON = 'You were interrupted. Go on with what you were doing.'

/** Invocations in a row that end in a provider's failure without a single step: about half an hour, its own retries apart. */
const FAILURES_MAX = 60
const BACKOFF = { firstMs: 1_000, mostMs: 30_000 }

export const claudeCode: Adapter = {
  name: 'claude-code',
  run: async (order, host) => {
    const binary = await findClaude(host.paths.agents)
    if (binary === undefined)
      return ended('failed', 'Claude Code is not installed for this machine. Install it: ./autovibe agent install claude-code', null, null)
    try {
      return await new Session(order, host, binary, await recall(host.paths.home, order.id, order.resume)).work()
    } catch (error) {
      if (host.signal.aborted) return ended('cancelled', null, null, null)
      throw error
    }
  },
}

class Session {
  readonly #order: RunOrder
  readonly #host: AgentHost
  readonly #binary: string
  #memory: Memory

  constructor(order: RunOrder, host: AgentHost, binary: string, memory: Memory) {
    this.#order = order
    this.#host = host
    this.#binary = binary
    this.#memory = memory
  }

  async work(): Promise<Outcome> {
    let failures = 0
    // Why its money is out, while it closes its work.
    let closing = (await this.#host.isWindingDown()) ? USED_UP : undefined
    let isHandedBack = false
    for (;;) {
      const stepBefore = this.#memory.step
      const end = await this.#invoke(closing === undefined ? (isHandedBack ? MONEY_AGAIN : this.#prompt()) : CLOSING)
      isHandedBack = false
      const problem = end.result?.problem ?? null
      if (this.#memory.step > stepBefore) failures = 0
      if (end.stoppedForSteps) return this.#ended('failed', `The run stopped after ${this.#order.max_steps} steps, which is all that it may take.`, null)
      if (closing !== undefined && (problem === null || isMoney(problem))) {
        await this.#host.handBack(closing, problem === null ? (end.result?.text ?? null) : null)
        closing = undefined
        isHandedBack = true
        continue
      }
      if (end.result && !end.result.isError && !problem) return this.#ended('succeeded', null, end.result.text)
      if (!problem) return this.#ended('failed', failureOf(end), end.result?.text ?? null)
      if (isMoney(problem)) {
        // Told in its own session, so that it knows what it was about.
        if (await this.#host.isWindingDown()) closing = problem.text
        else await this.#host.moneyOut(problem.text)
      } else if (isPassing(problem) && ++failures <= FAILURES_MAX) {
        log('Claude Code is started again', { reason: problem.text, failures })
        await pause(backoffMs(BACKOFF, failures - 1, Math.random()), this.#host.signal)
      } else return this.#ended('failed', problem.text, null)
    }
  }

  async #invoke(prompt: string): Promise<InvocationEnd> {
    const { session_id: session, step } = this.#memory
    const args = [
      '-p',
      '--output-format',
      'stream-json',
      '--verbose',
      '--include-partial-messages',
      '--dangerously-skip-permissions',
      '--model',
      this.#order.model,
    ]
    if (session !== null) args.push('--resume', session)
    // Until it tells its cost, an invocation's money is not in the figure.
    const end = await invoke({ binary: this.#binary, args, prompt }, new StreamReader(step, () => performance.now()), this.#host, {
      session: (id) => this.#save({ session_id: id, had_order: true, notice: this.#order.notice }),
      stepEnded: (index) => this.#save({ step: index }),
      isTooMany: (index) => index > this.#order.max_steps,
    })
    const total = end.result?.totalNanoUsd ?? null
    await this.#save(total === null ? { is_cost_whole: false } : { cost_now: total.toString() })
    return end
  }

  /** The order itself, or to go on with it; before it what the Hub says of the world, once. */
  #prompt(): string {
    const { had_order: hadOrder, notice: known } = this.#memory
    const { notice, prompt } = this.#order
    // It cannot be told of its money while it works, only when it is started again.
    const words = [notice === known ? null : notice, this.#host.moneyNotice()].filter((word) => word !== null)
    const news = words.map((word) => `<notice>\n${word}\n</notice>`)
    return [...news, hadOrder ? GO_ON : prompt].join('\n\n')
  }

  async #save(change: Partial<Memory>): Promise<void> {
    this.#memory = { ...this.#memory, ...change }
    await this.#host.gate.enter(this.#host.signal)
    try {
      await remember(this.#host.paths.home, this.#memory)
    } finally {
      this.#host.gate.leave()
    }
  }

  #ended(state: Outcome['state'], reason: string | null, summary: string | null): Outcome {
    const { cost_before: before, cost_now: now, is_cost_whole: isWhole } = this.#memory
    const cost = BigInt(now) - BigInt(before)
    return ended(state, reason, summary, isWhole && cost >= 0n ? cost : null)
  }
}

/** The gateway says billing_error whatever the status; 402 means nothing else. */
function isMoney(problem: ApiProblem): boolean {
  return problem.status === 402 || problem.type === 'billing_error'
}

/** Without a status the connection was lost; the rest of these may be gone the next time. */
function isPassing(problem: ApiProblem): boolean {
  return problem.status === null || problem.status === 408 || problem.status === 429 || problem.status >= 500
}

function failureOf(end: InvocationEnd): string {
  if (end.result) return end.result.text ?? 'Claude Code ended with an error.'
  const said = end.errorText === '' ? 'it said nothing' : end.errorText
  return `Claude Code ended without a result (exit code ${end.exitCode ?? 'none'}): ${said}`
}

function ended(state: Outcome['state'], reason: string | null, summary: string | null, cost: bigint | null): Outcome {
  return { state, reason, summary, agentReportedCostNanoUsd: cost }
}
