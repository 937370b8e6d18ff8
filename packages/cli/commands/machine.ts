/** autovibe machine: the isolated computers. */
import { act, define, group } from './define.ts'

export const machineCommand = () =>
  group('machine', 'List, stop, start and destroy machines', [
    act<{ all?: boolean }>(define('list', 'List machines').option('--all', 'destroyed machines too'), async () => (await import('../actions/ps.ts')).ps),
    act(
      define('stop', 'Stop a machine; its files are kept').argument('<machine>', 'name or id'),
      async () => (await import('../actions/machine.ts')).machineStop,
    ),
    act(define('start', 'Start a stopped machine').argument('<machine>', 'name or id'), async () => (await import('../actions/machine.ts')).machineStart),
    act(
      define('destroy', 'Destroy a machine', 'Its checkpoints are kept.').argument('<machine>', 'name or id'),
      async () => (await import('../actions/machine.ts')).machineDestroy,
    ),
  ])
