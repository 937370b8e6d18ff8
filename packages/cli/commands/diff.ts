/** autovibe diff: what a machine changed. */
import { act, define } from './define.ts'

export interface DiffOptions {
  readonly against?: string
  readonly stat?: boolean
}

export const diffCommand = () =>
  act<DiffOptions>(
    define('diff', 'Show what changed, as a patch')
      .argument('[ref]', 'a machine (its newest verified checkpoint), run or checkpoint (default: the newest run)')
      .option('--against <checkpoint>', 'since this checkpoint instead of since the import')
      .option('--stat', 'only names and numbers of lines'),
    async () => (await import('../actions/diff.ts')).diff,
  )
