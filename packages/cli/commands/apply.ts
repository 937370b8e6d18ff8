/** autovibe apply: brings a machine's change into a checkout. */
import { act, define } from './define.ts'

export interface ApplyOptions {
  readonly branch?: string
  readonly project?: string
  readonly message?: string
  readonly allowOutsideLinks?: boolean
}

export const applyCommand = () =>
  act<ApplyOptions>(
    define(
      'apply',
      'Bring the changes into your checkout',
      'Three-way into the work tree, all or nothing: when a file does not fit, nothing is changed. The index is left alone.',
    )
      .argument(
        '[ref]',
        'a machine (where it stands), run (what it left) or checkpoint (default: the machine of the newest run, preferably one that is still there)',
      )
      .option('--branch <name>', 'make a branch with a commit on the imported commit instead; the work tree stays as it is')
      .option('--project <path>', 'the checkout (default: this folder)')
      .option('--message <text>', 'the message of the commit')
      .option('--allow-outside-links', 'write symbolic links that lead out of the project'),
    async () => (await import('../actions/apply.ts')).apply,
  )
