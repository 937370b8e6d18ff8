/** autovibe doctor: what this host offers and lacks. */
import { act, define } from './define.ts'

export const doctorCommand = () =>
  act(
    define('doctor', 'Check this host and the Hub', 'Works without a Hub too. Exit code 1 when something failed.'),
    async () => (await import('../actions/doctor.ts')).doctor,
  )
