/** autovibe fork: a new machine from a checkpoint. */
import { act, define } from './define.ts'

export interface ForkOptions {
  readonly name?: string
  readonly budget?: string
}

export const forkCommand = () =>
  act<ForkOptions>(
    define('fork', 'Make a new machine from a checkpoint', 'It has the files and the conversation of that moment; the first machine goes on undisturbed.')
      .argument('<ref>', 'a checkpoint, a machine (where it stands) or a run (what it left)')
      .option('--name <name>', 'the name of the new machine')
      .option('--budget <usd>', 'the most the new machine may spend (default: what the machine it comes from has left)'),
    async () => (await import('../actions/fork.ts')).fork,
  )
