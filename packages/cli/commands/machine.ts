/** autovibe machine: the isolated computers. */
import { act, define, group } from './define.ts'
import { type LimitOptions, withLimitOptions } from './limit-options.ts'

export const machineCommand = () =>
  group('machine', 'List, limit, stop, start and destroy machines', [
    act<{ all?: boolean }>(define('list', 'List machines').option('--all', 'destroyed machines too'), async () => (await import('../actions/ps.ts')).ps),
    act(
      define('show', 'Show a machine with what it may take and what it took').argument('<machine>', 'name or id'),
      async () => (await import('../actions/machine-limits.ts')).machineShow,
    ),
    act<LimitOptions>(
      withLimitOptions(
        define(
          'limits',
          'Show or set what a machine may take',
          'What is left out stays as it is. Disk and time at work hold at once; cores, memory and processes from its next start on.',
        ).argument('<machine>', 'name or id'),
      ),
      async () => (await import('../actions/machine-limits.ts')).machineLimits,
    ),
    act(
      define('stop', 'Stop a machine; its files are kept').argument('<machine>', 'name or id'),
      async () => (await import('../actions/machine.ts')).machineStop,
    ),
    act(define('start', 'Start a stopped machine').argument('<machine>', 'name or id'), async () => (await import('../actions/machine.ts')).machineStart),
    act(
      define(
        'archive',
        'Copy a whole machine to the storage for archives',
        'Proxmox makes the copy, best on a Proxmox Backup Server (substrate set NAME --archive STORAGE). A checkpoint is taken first, so that the copy has the files whole; the machine goes on meanwhile. Of one machine the newest three are kept (--archives-kept).',
      ).argument('<machine>', 'name or id'),
      async () => (await import('../actions/machine-archives.ts')).machineArchive,
    ),
    act(
      define(
        'archives',
        'List archives and what the backup server found when it read them back',
        'Of machines that are destroyed too: those stay until you remove them.',
      ).argument('[machine]', 'name or id'),
      async () => (await import('../actions/machine-archives.ts')).machineArchives,
    ),
    act(
      define('remove-archive', 'Remove an archive for good', 'Only a copy whose notes name this archive and this Hub is touched.').argument(
        '<archive>',
        'id, or its beginning',
      ),
      async () => (await import('../actions/machine-archives.ts')).machineRemoveArchive,
    ),
    act(
      define('destroy', 'Destroy a machine', 'Its checkpoints are kept, and so are its archives.').argument('<machine>', 'name or id'),
      async () => (await import('../actions/machine.ts')).machineDestroy,
    ),
  ])
