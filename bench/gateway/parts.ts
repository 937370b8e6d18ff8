/** The two processes that every measurement of the gateway needs: one that answers, one that asks. */
import { type Child, startChild } from '../support/child.ts'
import type { Done, Job } from '../support/generator.ts'
import type { UpstreamOptions } from './upstream.ts'

export interface Parts extends Disposable {
  readonly upstreamPort: number
  readonly upstreamUrl: string
  readonly generator: Child<Job, Done>
}

export async function openParts(options: UpstreamOptions): Promise<Parts> {
  using ending = new DisposableStack()
  const upstream = ending.use(startChild<UpstreamOptions, number>(new URL('./upstream.ts', import.meta.url)))
  const generator = ending.use(startChild<Job, Done>(new URL('../support/generator.ts', import.meta.url)))
  const upstreamPort = await upstream.ask(options)
  const all = ending.move()
  return { upstreamPort, upstreamUrl: `http://127.0.0.1:${upstreamPort}`, generator, [Symbol.dispose]: () => all.dispose() }
}
