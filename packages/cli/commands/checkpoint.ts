/** autovibe checkpoint: restorable points. */
import { act, define, group } from './define.ts'

export interface CheckpointCreateOptions {
  readonly label?: string
}

export interface CheckpointVerifyOptions {
  readonly restore?: boolean
}

export const checkpointCommand = () =>
  group('checkpoint', 'Make, list, show and verify checkpoints', [
    act<CheckpointCreateOptions>(
      define('create', 'Take a checkpoint now and wait until it is verified')
        .argument('<machine>', 'name or id of a machine')
        .option('--label <text>', 'a word to find it again'),
      async () => (await import('../actions/checkpoint.ts')).checkpointCreate,
    ),
    act(
      define('list', 'List checkpoints').argument('[ref]', 'only those of this machine or run'),
      async () => (await import('../actions/checkpoint.ts')).checkpointList,
    ),
    act(define('show', 'Show one checkpoint').argument('<checkpoint>', 'its id'), async () => (await import('../actions/checkpoint.ts')).checkpointShow),
    act<CheckpointVerifyOptions>(
      define('verify', 'Read a checkpoint back now and say whether it is sound')
        .argument('<checkpoint>', 'its id')
        .option('--restore', 'also restore all of it to a private folder of the Hub, and compare'),
      async () => (await import('../actions/checkpoint-verify.ts')).checkpointVerify,
    ),
  ])
