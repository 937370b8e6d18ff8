/** autovibe down: stops the Hub. */
import { act, define } from './define.ts'

export interface DownOptions {
  readonly purge?: boolean
  readonly yes?: boolean
}

export const downCommand = () =>
  act<DownOptions>(
    define(
      'down',
      'Stop the Hub',
      'Machines are stopped with their state kept, and named. The next `autovibe up` takes them up again, each with its run; one that you stopped yourself, or whose run was paused already, is left as it was.',
    )
      .option('--purge', 'then remove the data directory: machines, checkpoints, ledger, keys')
      .option('--yes', 'do not ask'),
    async () => (await import('../actions/down.ts')).down,
  )
