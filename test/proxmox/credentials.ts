/** Who sends a request: API tokens, tickets with their CSRF token, and Proxmox's ways of saying that it is nobody. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { type Access, ownerOf } from './access.ts'
import { percentDecoded, Refusal } from './answers.ts'

const TICKET_LIFETIME_S = 7200

export interface Caller {
  /** A user, a full token id, or null where no credentials are wanted. */
  readonly who: string | null
  readonly byToken: boolean
}

/** Paths that anybody may ask. */
const OPEN: Readonly<Record<string, readonly string[]>> = {
  '/access/domains': ['GET'],
  '/access/ticket': ['GET', 'POST'],
  '/access/vncticket': ['POST'],
  '/access/openid/login': ['POST'],
  '/access/openid/auth-url': ['POST'],
}

export class Credentials {
  readonly #secret = randomBytes(32)
  readonly #access: Access
  readonly #nowSeconds: () => number

  constructor(access: Access, nowSeconds: () => number) {
    this.#access = access
    this.#nowSeconds = nowSeconds
  }

  /** The sender of a request; refused with 401 as Proxmox refuses. Upload requests need no CSRF token. */
  caller(method: string, path: string, headers: IncomingHttpHeaders, isUpload: boolean): Caller {
    if (OPEN[path]?.includes(method)) return { who: null, byToken: false }
    const ticket = headerValue(headers.cookie, 'PVEAuthCookie') ?? headerValue(headers.authorization, 'PVEAuthCookie')
    if (ticket !== undefined) {
      const who = this.#userOf(ticket)
      const csrf = headers['csrfpreventiontoken']
      if (method !== 'GET' && !isUpload && !this.#csrfHolds(who, typeof csrf === 'string' ? csrf : ''))
        throw new Refusal(401, 'Permission denied - invalid csrf token\n')
      return { who, byToken: false }
    }
    const token = headerValue(headers.authorization, 'PVEAPIToken')
    if (token === undefined) throw new Refusal(401, 'No ticket\n')
    return { who: this.#tokenOf(token), byToken: true }
  }

  /** A new ticket for a user whose password is right. */
  login(userid: string, password: string): { username: string; ticket: string; CSRFPreventionToken: string } {
    const user = this.#access.users.get(userid)
    const known = user?.enabled === true && user.password !== null && same(user.password, password)
    if (!known && !this.#renews(userid, password)) throw new Refusal(401, 'authentication failure\n')
    const stamp = this.#stamp()
    const plain = `PVE:${userid}:${stamp}`
    return { username: userid, ticket: `${plain}::${this.#sign(plain)}`, CSRFPreventionToken: `${stamp}:${this.#sign(`${stamp}:${userid}`)}` }
  }

  /** A ticket that still holds counts as a password. */
  #renews(userid: string, ticket: string): boolean {
    if (!ticket.startsWith('PVE:')) return false
    return this.#userOf(ticket) === userid
  }

  #userOf(ticket: string): string {
    const [, plain = '', signature = ''] = /^(PVE:\S+)::([^:\s]+)$/.exec(ticket) ?? []
    const [, userid = '', stamp = ''] = /^PVE:(\S+):([A-Z0-9]{8})$/.exec(plain) ?? []
    const holds = same(signature, this.#sign(plain)) && this.#age(stamp) < TICKET_LIFETIME_S
    if (!holds || this.#access.users.get(userid)?.enabled !== true) throw new Refusal(401, 'Authentication failed!\n')
    return userid
  }

  #tokenOf(text: string): string {
    const [, tokenid = '', secret = ''] = /^(.*)=(.*)$/.exec(text) ?? []
    const token = this.#access.tokens.get(tokenid)
    const expired = token !== undefined && token.expiresAt !== 0 && token.expiresAt < this.#nowSeconds()
    if (!token || expired || !same(token.secret, secret) || this.#access.users.get(ownerOf(tokenid))?.enabled !== true)
      throw new Refusal(401, 'Authentication failed!\n')
    return tokenid
  }

  #csrfHolds(userid: string, token: string): boolean {
    const [, stamp = '', signature = ''] = /^([A-Z0-9]{8}):(\S+)$/.exec(token) ?? []
    return same(signature, this.#sign(`${stamp}:${userid}`)) && this.#age(stamp) < TICKET_LIFETIME_S
  }

  #stamp(): string {
    return Math.floor(this.#nowSeconds()).toString(16).toUpperCase().padStart(8, '0')
  }

  #age(stamp: string): number {
    return this.#nowSeconds() - Number.parseInt(stamp || '0', 16)
  }

  #sign(text: string): string {
    return createHmac('sha256', this.#secret).update(text).digest('base64').replaceAll('=', '')
  }
}

const same = (left: string, right: string): boolean => left.length === right.length && timingSafeEqual(Buffer.from(left), Buffer.from(right))

/** `name=value` or `name value` in a header, as Proxmox finds it. */
function headerValue(header: string | undefined, name: string): string | undefined {
  const value = new RegExp(`(?:^|\\s)${name}(?:=| )([^;]*)`).exec(header ?? '')?.[1]
  return value === undefined || value === '' ? undefined : percentDecoded(value)
}
