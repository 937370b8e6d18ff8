/** Who we are to Proxmox: an API token, or a ticket that is renewed before it ends. What is secret leaves this file only as a header. */
import { z } from 'zod'
import type { Clock } from './clock.ts'
import { NoAnswer } from './errors.ts'
import type { Answer } from './exchange.ts'
import { encoded, type Written } from './form.ts'

export type Credentials =
  | {
      readonly kind: 'token'
      /** `name@realm!token` */
      readonly id: string
      readonly secret: string
    }
  | { readonly kind: 'ticket'; readonly username: string; readonly password: string }

export type Send = (written: Written) => Promise<Answer>
type Headers = Readonly<Record<string, string>>

/** Tickets hold two hours by the clocks of the nodes, which need not be ours. */
const RENEW_AFTER_MS = 90 * 60_000
/** What may stand in a header without ending it. */
const PRINTABLE = /^[\x21-\x7e]{1,4096}$/
const Ticket = z.object({ ticket: z.string().regex(PRINTABLE), CSRFPreventionToken: z.string().regex(PRINTABLE) })

/** A login that Proxmox refused, in its words. */
export class LoginRefused extends Error {
  readonly answer: Answer

  constructor(answer: Answer) {
    super('the login was refused')
    this.answer = answer
  }
}

export class Login {
  readonly #credentials: Credentials
  readonly #clock: Clock
  #held: { readonly ticket: string; readonly csrf: string; readonly sinceMs: number } | null = null
  #underWay: Promise<void> | null = null

  constructor(credentials: Credentials, clock: Clock) {
    if (credentials.kind === 'token' && !PRINTABLE.test(`${credentials.id}=${credentials.secret}`))
      throw new RangeError('an API token is of printable characters')
    this.#credentials = credentials
    this.#clock = clock
  }

  /** A refused ticket is worth another login; a refused token stays refused. */
  get renewable(): boolean {
    return this.#credentials.kind === 'ticket'
  }

  /** The headers of a request; logs in first where that is due, once for all who wait. */
  async headers(method: string, send: Send): Promise<Headers> {
    const credentials = this.#credentials
    if (credentials.kind === 'token') return { authorization: `PVEAPIToken=${credentials.id}=${credentials.secret}` }
    if (this.#held === null || this.#clock.nowMs() - this.#held.sinceMs > RENEW_AFTER_MS) {
      this.#underWay ??= this.#login(credentials.username, credentials.password, send).finally(() => {
        this.#underWay = null
      })
      await this.#underWay
    }
    const cookie = { cookie: `PVEAuthCookie=${encodeURIComponent(this.#held?.ticket ?? '')}` }
    return method === 'GET' ? cookie : { ...cookie, csrfpreventiontoken: this.#held?.csrf ?? '' }
  }

  forget(): void {
    this.#held = null
  }

  async #login(username: string, password: string, send: Send): Promise<void> {
    const sinceMs = this.#clock.nowMs()
    const form = encoded([
      ['username', username],
      ['password', password],
    ])
    const answer = await send({ method: 'POST', path: '/api2/json/access/ticket', body: form }).catch((error: unknown) => {
      // Without its login the call itself has not gone out.
      throw error instanceof NoAnswer && error.kind === 'unanswered' ? new NoAnswer('not sent', error.message) : error
    })
    const read = answer.status === 200 ? Ticket.safeParse(answer.data).data : undefined
    // With a second factor Proxmox answers a ticket that is good for nothing but the challenge, and no CSRF token.
    if (read === undefined)
      throw new LoginRefused(answer.status === 200 ? { ...answer, status: 401, reason: 'no ticket was given: a second factor is asked for' } : answer)
    this.#held = { ticket: read.ticket, csrf: read.CSRFPreventionToken, sinceMs }
  }
}
