/** The options by which a person says what a machine may take, the same wherever they are given. */
import type { Command } from 'commander'

export interface LimitOptions {
  readonly cores?: string
  readonly memory?: string
  readonly processes?: string
  readonly disk?: string
  readonly wall?: string
}

export const withLimitOptions = (command: Command): Command =>
  command
    .option('--cores <number>', 'how many processors it may keep busy, for instance 0.5')
    .option('--memory <size>', 'memory, for instance 2GiB')
    .option('--processes <number>', 'processes and threads together')
    .option('--disk <size>', 'what its tree may take on the disk, for instance 10GiB')
    .option('--wall <duration>', 'how long one run may be at work, for instance 90min or 2h')
