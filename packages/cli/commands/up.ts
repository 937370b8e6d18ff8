/** autovibe up: starts the Hub. */
import { act, define } from './define.ts'

export interface UpOptions {
  readonly port?: string
  readonly foreground?: boolean
}

export const upCommand = () =>
  act<UpOptions>(
    define(
      'up',
      'Start the Hub in the background',
      'Machines that the last `autovibe down` stopped are taken up again, each with its run, and named. A Hub that already runs is left as it is. It listens on 127.0.0.1 only.',
    )
      .option('--port <port>', 'the port of the API (AUTOVIBE_PORT; 7420)')
      .option('--foreground', 'stay in front, for a service manager'),
    async () => (await import('../actions/up.ts')).up,
  )
