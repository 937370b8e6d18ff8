/** autovibe logs: what happened. */
import { act, define } from './define.ts'

export interface LogsOptions {
  readonly follow?: boolean
  readonly hub?: boolean
  readonly tail?: string
}

export const logsCommand = () =>
  act<LogsOptions>(
    define('logs', 'Show the events of a machine or run')
      .argument('[ref]', 'a machine or run (default: everything)')
      .option('-f, --follow', 'go on with what happens from now on')
      .option('--hub', 'the log of the Hub process instead')
      .option('--tail <count>', 'only the last so many (of the log of the Hub: 200)'),
    async () => (await import('../actions/logs.ts')).logs,
  )
