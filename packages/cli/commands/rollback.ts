/** autovibe rollback: a machine back to one of its checkpoints. */
import { act, define } from './define.ts'

export interface RollbackOptions {
  readonly dryRun?: boolean
}

export const rollbackCommand = () =>
  act<RollbackOptions>(
    define(
      'rollback',
      'Take a machine back to a checkpoint',
      [
        'Files and conversation become what they were; what the machine had is kept as a checkpoint first. Spent money stays spent.',
        'What cannot be undone is listed before it begins: model calls that were paid, connections that were let through, commands of people.',
      ].join('\n'),
    )
      .argument('<machine>', 'name or id of the machine')
      .argument('<checkpoint>', 'id of one of its checkpoints')
      .option('--dry-run', 'only say what could not be undone'),
    async () => (await import('../actions/rollback.ts')).rollback,
  )
