/** The closing turn of a run whose money is out: the model is asked to close its work, its last words are handed back, and with new money it goes on. */
import { CLOSING, CLOSING_STEPS_MAX, MONEY_AGAIN, USED_UP } from '../../run/closing.ts'
import type { AgentHost, RunOrder } from '../adapter.ts'
import { type Conversation, inside } from './conversation.ts'

export class Closing {
  readonly #order: RunOrder
  readonly #host: AgentHost
  readonly #conversation: Conversation
  #reason: string | undefined
  #steps = 0

  constructor(order: RunOrder, host: AgentHost, conversation: Conversation) {
    this.#order = order
    this.#host = host
    this.#conversation = conversation
  }

  /** A machine that was started again in the middle of closing its work closes it. */
  async begin(index: number): Promise<void> {
    if (!(await this.#host.isWindingDown())) return
    this.#reason = USED_UP
    await this.#say(CLOSING, index - 1)
  }

  /** Before a step: what was handed back goes on now, because there is money again. */
  async resume(index: number): Promise<void> {
    if (this.#conversation.entries.at(-1)?.closing) await this.#say(MONEY_AGAIN, index - 1)
  }

  /** The call was refused for money. True when the same call may be made again: the work is being closed, or it was handed back and there is money again. */
  async onMoneyOut(reason: string, index: number): Promise<boolean> {
    if (this.#reason !== undefined) {
      // Nothing is left of what was set aside: what is there is handed back without a word.
      await this.handBack(null)
      await this.#say(MONEY_AGAIN, index - 1)
      return true
    }
    if (!(await this.#host.isWindingDown())) return false
    this.#reason = reason
    this.#steps = 0
    await this.#say(CLOSING, index - 1)
    return true
  }

  /** Whether this answer is the last before the work is handed back: one without tools, or one too many. */
  isLast(hasTools: boolean): boolean {
    return this.#reason !== undefined && (++this.#steps >= CLOSING_STEPS_MAX || !hasTools)
  }

  /** Returns when there is money again. */
  async handBack(report: string | null): Promise<void> {
    await this.#host.handBack(this.#reason ?? USED_UP, report === '' ? null : report)
    this.#reason = undefined
  }

  async #say(text: string, step: number): Promise<void> {
    const message = { role: 'user' as const, content: [{ type: 'text' as const, text }] }
    await inside(this.#host, () => this.#conversation.append({ at: new Date().toISOString(), run_id: this.#order.id, step, message }))
  }
}
