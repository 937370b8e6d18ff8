/** autovibe operation: durable changes and what became of them. */
import { act, define, group } from './define.ts'

export const operationCommand = () =>
  group('operation', 'Look into operations, retry and cancel them', [
    act<{ state?: string }>(
      define('list', 'List operations').option('--state <state>', 'only those in this state, for instance stuck'),
      async () => (await import('../actions/operation.ts')).operationList,
    ),
    act(
      define('show', 'Show an operation with its steps').argument('<operation>', 'its id'),
      async () => (await import('../actions/operation.ts')).operationShow,
    ),
    act(
      define('retry', 'Try the undo of a stuck operation again').argument('<operation>', 'its id'),
      async () => (await import('../actions/operation.ts')).operationRetry,
    ),
    act(
      define('cancel', 'Cancel an operation: what it did is undone').argument('<operation>', 'its id'),
      async () => (await import('../actions/operation.ts')).operationCancel,
    ),
  ])
