/** autovibe demo: the main job on a small real repository, with a scripted model. */
import { act, define } from './define.ts'

export interface DemoOptions {
  readonly keep?: boolean
  readonly port?: string
}

export const demoCommand = () =>
  act<DemoOptions>(
    define(
      'demo',
      'See the whole main job in a minute, without a key',
      'A scripted model stands in for a real one: nothing leaves this machine, and costs are simulated at list prices. Everything else is real. At its end it takes away what it has made; the Hub goes on, with the record of the run.',
    )
      .option('--keep', 'keep the machines and the demo repository')
      .option('--port <port>', 'the port of the Hub, when one must be started (AUTOVIBE_PORT; 7420)'),
    async () => (await import('../actions/demo.ts')).demo,
  )
