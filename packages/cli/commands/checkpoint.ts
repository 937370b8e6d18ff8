/** autovibe checkpoint: restorable points. */
import { checkpointExportCommand, checkpointImportCommand } from './checkpoint-archives.ts'
import { act, define, group } from './define.ts'

export interface CheckpointCreateOptions {
  readonly label?: string
}

export interface CheckpointListOptions {
  readonly project?: string
  readonly state?: string
}

export interface CheckpointVerifyOptions {
  readonly restore?: boolean
}

export interface CheckpointRetentionOptions {
  readonly keepLast?: string
  readonly hourly?: string
  readonly daily?: string
  readonly weekly?: string
  readonly apply?: boolean
  readonly save?: boolean
  readonly project?: string
}

export const checkpointCommand = () =>
  group('checkpoint', 'Make, list, show, verify, export and import checkpoints, and say which of them stay', [
    act<CheckpointCreateOptions>(
      define('create', 'Take a checkpoint now and wait until it is verified')
        .argument('<machine>', 'name or id of a machine')
        .option('--label <text>', 'a word to find it again'),
      async () => (await import('../actions/checkpoint.ts')).checkpointCreate,
    ),
    act<CheckpointListOptions>(
      define('list', 'List checkpoints, and what they take')
        .alias('ls')
        .argument('[ref]', 'only those of this machine or run')
        .option('--project <project>', 'only those of this project, by its name or id')
        .option('--state <state>', 'only those in this state, for instance corrupt'),
      async () => (await import('../actions/checkpoint.ts')).checkpointList,
    ),
    act(define('show', 'Show one checkpoint').argument('<checkpoint>', 'its id'), async () => (await import('../actions/checkpoint.ts')).checkpointShow),
    act(
      define('pin', 'Keep a checkpoint whatever the rules say').argument('<checkpoint>', 'its id'),
      async () => (await import('../actions/checkpoint-retention.ts')).checkpointPin,
    ),
    act(
      define('unpin', 'Leave a checkpoint to the rules again').argument('<checkpoint>', 'its id'),
      async () => (await import('../actions/checkpoint-retention.ts')).checkpointUnpin,
    ),
    act<CheckpointRetentionOptions>(
      define(
        'retention',
        'Show which checkpoints would expire, and why the others stay',
        [
          'Nothing is changed without --apply. Rules given here hold for this once instead of those of the project; --save keeps them. The Hub applies those of the project every hour.',
          'Each rule counts each machine by itself. What is pinned, what a machine stands on or is being made from, and where the diff of one that stays begins, stays whatever the rules say.',
        ].join('\n'),
      )
        .option('--project <project>', 'its name or id; not needed where there is only one')
        .option('--keep-last <number>', 'keep the newest so many')
        .option('--hourly <number>', 'keep the newest of each of the last so many hours that have one')
        .option('--daily <number>', 'the same of days (UTC)')
        .option('--weekly <number>', 'the same of weeks (Monday to Sunday, UTC)')
        .option('--save', 'keep these rules as those of the project')
        .option('--apply', 'expire what no rule keeps'),
      async () => (await import('../actions/checkpoint-retention.ts')).checkpointRetention,
    ),
    act<CheckpointVerifyOptions>(
      define('verify', 'Read a checkpoint back now and say whether it is sound')
        .argument('<checkpoint>', 'its id')
        .option('--restore', 'also restore all of it to a private folder of the Hub, and compare'),
      async () => (await import('../actions/checkpoint-verify.ts')).checkpointVerify,
    ),
    checkpointExportCommand(),
    checkpointImportCommand(),
  ])
