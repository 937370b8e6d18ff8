/** What an action gets from the shell: where it is, whom it talks to, and how it speaks. */
import type { Autovibe } from '@autovibe/sdk'
import type { HubFile } from './local/hub-process.ts'
import type { Output } from './output.ts'
import type { Settings } from './settings.ts'

export interface Context {
  readonly out: Output
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  readonly dataDir: string
  readonly settings: Settings
  /** Fires at Ctrl-C; the action ends its waiting and returns, or throws the reason. */
  readonly signal: AbortSignal
  /** From now on Ctrl-C and SIGTERM are given to this, and no longer end the command; the signal above stays silent. */
  divertSignals(to: (name: 'SIGINT' | 'SIGTERM') => void): void
  /** A client of the Hub that runs; `hub.unreachable` with the command that starts one. */
  connect(): Promise<Autovibe>
  /** As `connect`, and starts a Hub when none runs. */
  ensureHub(port?: string): Promise<{ readonly client: Autovibe; readonly hub: HubFile; readonly startedMs: number | null }>
}
