/** autovibe diff: what a machine changed. */
import { act, define } from './define.ts'

export interface DiffOptions {
  readonly stat?: boolean
  readonly nameStatus?: boolean
  /** False for --no-renames. */
  readonly renames: boolean
}

const EXAMPLES = `
Examples:
  autovibe diff                          what the newest run has changed since the import
  autovibe diff fix-1                    what the machine fix-1 has changed, where it stands
  autovibe diff ckp_01m8 ckp_01m9        from one checkpoint to another of the same project
  autovibe diff fix-1 fix-2 --stat       how two machines differ
  autovibe diff | git apply --index      into a checkout of the imported commit (autovibe apply merges as well)`

export const diffCommand = () =>
  act<DiffOptions>(
    define(
      'diff',
      'Show what changed, as a patch',
      'With one name: since the import. With two: from the first to the second, each a machine, run or checkpoint of one project. Where no terminal reads it, the patch is ' +
        'complete, binary files included, for git apply.',
    )
      .argument(
        '[ref]',
        'a machine (where it stands), run (what it left) or checkpoint (default: the machine of the newest run, preferably one that is still there)',
      )
      .argument('[to]', 'compare with this one instead, and begin at the first')
      .option('--stat', 'only names and numbers of lines')
      .option('--name-status', 'only names, each behind A (added), D (removed), M (changed), T (of another type) or R (renamed)')
      .option('--no-renames', 'show what was renamed as removed and added')
      .addHelpText('after', EXAMPLES),
    async () => (await import('../actions/diff.ts')).diff,
  )
