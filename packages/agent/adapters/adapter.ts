/** What an agent is to the machine: it works on an order, tells what it does, and stays behind the gate when it is told to. */

import type { AgentName, Instructions, StepFinished } from '@autovibe/contract'
import type { QuietPoint } from '@autovibe/core/triggers/checkpoint-trigger.ts'
import type { Gate } from '../run/gate.ts'

export type RunOrder = NonNullable<Instructions['run']>

export interface Paths {
  readonly tree: string
  readonly project: string
  readonly home: string
  /** The Hub's unix socket. */
  readonly socket: string
  /** Where agents are installed; null when this machine has none. */
  readonly agents: string | null
}

export type AgentEvent =
  | { readonly type: 'step.started'; readonly index: number }
  | { readonly type: 'step.tool_started'; readonly index: number; readonly name: string; readonly summary: string }
  | {
      readonly type: 'step.tool_finished'
      readonly index: number
      readonly name: string
      readonly summary: string
      readonly isError: boolean
      readonly durationMs: number
    }
  | { readonly type: 'step.finished'; readonly step: StepFinished }
  | { readonly type: 'run.message'; readonly text: string }

/** How the agent's work ended. */
export interface Outcome {
  readonly state: 'succeeded' | 'failed' | 'cancelled'
  readonly reason: string | null
  /** The agent's closing words. */
  readonly summary: string | null
  readonly agentReportedCostNanoUsd: bigint | null
}

/** What the machine offers to an agent. */
export interface AgentHost {
  readonly paths: Paths
  /** The machine's token: it opens the gateway. */
  readonly token: string
  /** Aborted when the run is cancelled. */
  readonly signal: AbortSignal
  /** Pausing and going on: an agent enters it before each tool call and whenever it writes, or attaches a freezer. */
  readonly gate: Gate
  emit(event: AgentEvent): void
  /** Whether a checkpoint may be due before this command, so that an agent which does not ask is worth stopping for it. */
  isRisky(command: string): boolean
  /** Called outside the gate, where no tool runs: here a checkpoint may be taken. Returns when the agent may go on. */
  quietPoint(point: QuietPoint): Promise<void>
  /** The money is out: reports it and returns when the Hub says that the call may be tried again. Rejects when the run is cancelled. */
  moneyOut(reason: string): Promise<void>
  /** The reason why no model call may be made now, by what the Hub last said of the budget; null when one may. */
  moneyRefusal(): Promise<string | null>
  /** Whether the agent is to close its work now, paid from what was set aside for that. */
  isWindingDown(): Promise<boolean>
  /** The work is closed: keeps a checkpoint, reports the pause with the agent's words, and returns when there is money again. Rejects when the run is cancelled. */
  handBack(reason: string, report: string | null): Promise<void>
  /** What the agent shall be told of its money before its next call, once; null when there is nothing new. */
  moneyNotice(): string | null
}

export interface Adapter {
  readonly name: AgentName
  /** Works until the order is done. Rejects only on a mistake of ours; whatever the agent or its provider does wrong is an outcome. */
  run(order: RunOrder, host: AgentHost): Promise<Outcome>
}
