/** autovibe diff: what a machine changed. */
import { act, define } from './define.ts'

export interface DiffOptions {
  readonly against?: string
  readonly stat?: boolean
}

export const diffCommand = () =>
  act<DiffOptions>(
    define('diff', 'Show what changed, as a patch')
      .argument(
        '[ref]',
        'a machine (where it stands), run (what it left) or checkpoint (default: the machine of the newest run, preferably one that is still there)',
      )
      .option('--against <checkpoint>', 'since this checkpoint instead of since the import')
      .option('--stat', 'only names and numbers of lines'),
    async () => (await import('../actions/diff.ts')).diff,
  )
