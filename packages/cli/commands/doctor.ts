/** autovibe doctor: what this host offers and lacks. */
import { act, define } from './define.ts'

export const doctorCommand = () =>
  act(
    define(
      'doctor',
      'Check this host, the Hub and its providers',
      'Works without a Hub too. Each provider is tried once, without its key. Exit code 1 when something failed.',
    ),
    async () => (await import('../actions/doctor.ts')).doctor,
  )
