/** autovibe down: stops the Hub. */
import { act, define } from './define.ts'

export interface DownOptions {
  readonly purge?: boolean
  readonly yes?: boolean
}

export const downCommand = () =>
  act<DownOptions>(
    define('down', 'Stop the Hub', 'Machines and their state are kept; the Hub takes them up again with the next `autovibe up`.')
      .option('--purge', 'then remove the data directory: machines, checkpoints, ledger, keys')
      .option('--yes', 'do not ask'),
    async () => (await import('../actions/down.ts')).down,
  )
