/** autovibe ps: the machines. */
import { act, define } from './define.ts'

export interface PsOptions {
  readonly all?: boolean
}

export const psCommand = () =>
  act<PsOptions>(
    define('ps', 'List machines, what they do and what they have spent').option('--all', 'destroyed machines too'),
    async () => (await import('../actions/ps.ts')).ps,
  )
