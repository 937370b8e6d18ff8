/** The gateway's process, killed again and again and started anew on the same database. */

import type { GatewayConfig } from './gateway-process.ts'
import { type Party, startParty } from './party.ts'

const FILE = new URL('./gateway-process.ts', import.meta.url)
/** How often the new one is killed too, before it has taken over. */
const SECOND_KILL = 0.3
/** Enough of a log line to know it by. */
const LINE_MAX = 500

export class GatewayUnderFire {
  readonly #config: GatewayConfig
  readonly #chance: () => number
  #party: Party
  #ready: Promise<void>
  #expectedEnd = false
  /** Grows with each process that became ready. */
  generation = 0
  /** False from a kill until the next process is ready. */
  isUp = false
  kills = 0
  /** What went wrong without anybody having killed it. */
  readonly faults: string[] = []

  constructor(config: GatewayConfig, chance: () => number) {
    this.#config = config
    this.#chance = chance
    this.#party = this.#start()
    this.#ready = this.#untilReady()
  }

  /** Resolves when somebody answers, after the start that is under way. */
  get ready(): Promise<void> {
    return this.#ready
  }

  ask<T>(question: string, detail?: unknown): Promise<T> {
    return this.#party.ask<T>(question, detail)
  }

  /** Kills it after whatever start is under way, and starts the next. */
  strike(): Promise<void> {
    this.#ready = this.#ready.then(async () => {
      await this.#kill()
      while (this.#chance() < SECOND_KILL) {
        await this.#party.told('locked')
        await this.#kill()
      }
      await this.#untilReady()
    })
    return this.#ready
  }

  /** Ends it in good order. */
  async end(): Promise<void> {
    await this.#ready
    await this.#party.ask('end')
    await this.#kill(false)
  }

  async #kill(again = true): Promise<void> {
    this.#expectedEnd = true
    this.isUp = false
    await this.#party.kill()
    this.#noteErrors(this.#party)
    if (!again) return
    this.kills++
    this.#party = this.#start()
  }

  async #untilReady(): Promise<void> {
    await this.#party.told('ready')
    this.generation++
    this.isUp = true
  }

  #start(): Party {
    this.#expectedEnd = false
    const party = startParty(FILE, this.#config)
    void party.gone.then((how) => {
      if (this.#party === party && !this.#expectedEnd) this.faults.push(`the gateway ended by itself (${how}): ${party.errors()}`)
    })
    return party
  }

  #noteErrors(party: Party): void {
    const lines = party
      .errors()
      .split('\n')
      .filter((line) => line !== '')
    for (const line of lines) this.faults.push(`the gateway logged an error: ${line.slice(0, LINE_MAX)}`)
  }
}
