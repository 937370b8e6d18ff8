/** autovibe rollback: a machine back to one of its checkpoints. */
import { act, define } from './define.ts'

export const rollbackCommand = () =>
  act(
    define('rollback', 'Take a machine back to a checkpoint', 'Files and conversation become what they were. Spent money stays spent.')
      .argument('<machine>', 'name or id of the machine')
      .argument('<checkpoint>', 'id of one of its checkpoints'),
    async () => (await import('../actions/rollback.ts')).rollback,
  )
