/** autovibe checkpoint: restorable points. */
import { act, define, group } from './define.ts'

export interface CheckpointCreateOptions {
  readonly label?: string
}

export const checkpointCommand = () =>
  group('checkpoint', 'Make, list and show checkpoints', [
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
  ])
