/** Who is compared: anything that keeps the states of one tree and gives them back. */

export interface Taken {
  readonly ms: number
  /** The most memory of the process that did it, so far. */
  readonly peakMiB: number
}

export interface Contender {
  readonly name: string
  /** Before each phase: whoever keeps a process from command to command starts a new one, so that its memory is the phase's own. */
  begin(): Promise<void>
  /** Keeps the tree as it is now. Who can is told which paths may have changed since the last time; the first time all have (null). */
  capture(changedPaths: readonly string[] | null): Promise<Taken>
  /** Writes the last state into this empty folder. */
  restore(folder: string): Promise<Taken>
  /** Reads everything that it keeps back and checks it; rejects when something is damaged. */
  verify(): Promise<Taken>
  /** What its store takes. */
  readonly storeFolder: string
}

export interface Place {
  readonly tree: string
  /** Empty, and the contender's own. */
  readonly folder: string
}

export const COMMAND_TIMEOUT_MS = 600_000
