/** The resource tracker: reports what a run consumes beside model calls, and refuses locally what the budget no longer holds. */

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import type { BudgetStatus, RunId, UsageReport } from '@autovibe/contract'
import { log, wordsOf } from '../log.ts'

export const REPORT_EVERY_MS = 15_000

/** Kernel ticks of /proc/PID/stat: fixed at 100 a second on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

export interface Consumed {
  readonly wallSeconds: number
  readonly cpuSeconds: number
  /** `estimated` when children's time cannot be had. */
  readonly cpuQuality: 'measured' | 'estimated'
}

export interface UsageDoor {
  usage(report: UsageReport, signal?: AbortSignal): Promise<BudgetStatus>
}

export class ResourceTracker {
  readonly #door: UsageDoor
  readonly #runId: RunId
  readonly #learn: (status: BudgetStatus) => void
  readonly #sample: () => Consumed
  readonly #begin: Consumed
  #reportedWall = 0
  #reportedCpu = 0
  #timer: NodeJS.Timeout | undefined
  #reporting: Promise<void> = Promise.resolve()

  constructor(door: UsageDoor, runId: RunId, learn: (status: BudgetStatus) => void, sample: () => Consumed = sampleProcess) {
    this.#door = door
    this.#runId = runId
    this.#learn = learn
    this.#sample = sample
    this.#begin = sample()
  }

  start(): void {
    this.#timer = setInterval(() => void this.report(), REPORT_EVERY_MS)
  }

  /** The last report; resolves when the Hub has it. */
  async finish(): Promise<void> {
    clearInterval(this.#timer)
    await this.report()
  }

  /** Reports whole seconds since the last report; the rest is carried over. */
  report(): Promise<void> {
    this.#reporting = this.#reporting.then(() => this.#reportOnce())
    return this.#reporting
  }

  async #reportOnce(): Promise<void> {
    const now = this.#sample()
    const wall = Math.floor(now.wallSeconds - this.#begin.wallSeconds) - this.#reportedWall
    const cpu = Math.floor(now.cpuSeconds - this.#begin.cpuSeconds) - this.#reportedCpu
    const usage: UsageReport['usage'] = []
    if (wall > 0) usage.push({ resource: 'wall_seconds', amount: String(wall), quality: 'measured', service: 'agent' })
    if (cpu > 0) usage.push({ resource: 'cpu_seconds', amount: String(cpu), quality: now.cpuQuality, service: 'agent' })
    if (usage.length === 0) return
    try {
      this.#learn(await this.#door.usage({ id: randomUUID(), run_id: this.#runId, usage }))
      this.#reportedWall += Math.max(0, wall)
      this.#reportedCpu += Math.max(0, cpu)
    } catch (error) {
      log('a usage report was refused', { reason: wordsOf(error) })
    }
  }
}

/** Why no model call may be made, by what the Hub says of the limits; null when one may. Where the work shall be wound down, the gateway says when. */
export function refusalOf(status: BudgetStatus | undefined): string | null {
  return status?.limit_met && status.limit_met.policy !== 'wind-down' ? status.limit_met.sentence : null
}

/** This process and every child that has ended, by the kernel's own count. */
function sampleProcess(): Consumed {
  const wallSeconds = performance.now() / 1000
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1')
    // After the name: fields 14 to 17 of proc(5) are utime, stime, cutime, cstime.
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 15)
    const ticks = fields.reduce((sum, field) => sum + Number(field), 0)
    return { wallSeconds, cpuSeconds: ticks / TICKS_PER_SECOND, cpuQuality: 'measured' }
  } catch {
    // No /proc: this process alone is known.
    const { userCPUTime, systemCPUTime } = process.resourceUsage()
    return { wallSeconds, cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, cpuQuality: 'estimated' }
  }
}
