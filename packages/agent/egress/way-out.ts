/** Keeps what the machine's tools are told of its loopback port in step with what the Hub says the project allows. */
import type { Instructions } from '@autovibe/contract'
import type { Wishes } from '../door/wishes.ts'
import { log, wordsOf } from '../log.ts'
import { tellOf } from './environment.ts'
import { type Loopback, openLoopback } from './loopback.ts'
import type { Hub } from './tunnel.ts'

export class WayOut {
  readonly #loopback: Promise<Loopback | null>

  constructor(hub: Hub) {
    // Where nobody may listen, tools have no port and the agent works as ever.
    this.#loopback = openLoopback(hub).catch((error: unknown) => {
      log('the loopback port could not be opened', { reason: wordsOf(error) })
      return null
    })
  }

  /** Whatever is started after it resolves is told what holds now. */
  async learn({ egress }: Pick<Instructions, 'egress'>): Promise<void> {
    tellOf(await this.#loopback, egress.length > 0)
  }

  /** Learns of each new document until the signal is aborted: a run may be under way for hours when the list changes. */
  async follow(wishes: Pick<Wishes, 'newerThan'>, signal: AbortSignal): Promise<void> {
    try {
      for (let revision = -1; ; ) {
        const document = await wishes.newerThan(revision, signal)
        revision = document.revision
        await this.learn(document)
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }
}
