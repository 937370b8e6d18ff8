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
      'Machines are stopped with their state kept. After the next `autovibe up`, `autovibe machine start` takes one up again, with the run that waits on it.',
    )
      .option('--purge', 'then remove the data directory: machines, checkpoints, ledger, keys')
      .option('--yes', 'do not ask'),
    async () => (await import('../actions/down.ts')).down,
  )
