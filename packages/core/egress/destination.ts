/** Where somebody wants to go, `host:port`, read so that no two readers can take it for different places. */
import { type Address, parseAddress } from './address.ts'

export type Host = { readonly kind: 'name'; readonly name: string } | { readonly kind: 'address'; readonly address: Address }

export interface Destination {
  readonly host: Host
  readonly port: number
}

/** What is wrong with a text, as a sentence. */
export interface Unreadable {
  readonly wrong: string
}

/** 253 characters of name, a colon, five digits; an address is shorter. */
const LONGEST = 260
const NAME_LONGEST = 253
/** Underscores are no letters of host names, but of names in the DNS that people do use. */
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/
/** What address parsers of old take for a number: such a name could become an IPv4 address on the way (2130706433, 127.1, 0x7f.1). */
const NUMBER = /^([0-9]+|0x[0-9a-f]*)$/

export function parseDestination(text: string): Destination | Unreadable {
  const split = splitPort(text)
  if ('wrong' in split) return split
  const host = split.isBracketed ? parseIpv6(split.host) : parseHost(split.host)
  return 'wrong' in host ? host : { host, port: split.port }
}

/** The text of it that is compared, told and looked up: lower case, canonical, IPv6 in brackets. */
export function destinationText({ host, port }: Destination): string {
  return `${hostText(host)}:${port}`
}

export function hostText(host: Host): string {
  if (host.kind === 'name') return host.name
  return host.address.family === 6 ? `[${host.address.text}]` : host.address.text
}

/** A name or an IPv4 address; the name in lower case, without the dot that may end it. */
export function parseHost(text: string): Host | Unreadable {
  const address = text.includes(':') ? undefined : parseAddress(text)
  if (address) return { kind: 'address', address }
  const name = parseName(text)
  return typeof name === 'string' ? { kind: 'name', name } : name
}

/** In lower case, without the dot that may end it. */
export function parseName(text: string): string | Unreadable {
  const name = text.toLowerCase().replace(/\.$/, '')
  const labels = name.split('.')
  if (name.length > NAME_LONGEST || !labels.every((label) => LABEL.test(label)))
    return { wrong: 'the host is neither a host name (ASCII; others as xn--…) nor an IP address' }
  if (NUMBER.test(labels.at(-1) ?? '')) return { wrong: 'an IPv4 address is written as four decimal numbers without leading zeros' }
  return name
}

/** The host is still to be read; `isBracketed` where it stood in brackets, which are taken off. */
export function splitPort(text: string): { readonly host: string; readonly isBracketed: boolean; readonly port: number } | Unreadable {
  if (text.length > LONGEST) return { wrong: `it is longer than ${LONGEST} characters` }
  const [, bracketed, plain, digits] = /^(?:\[([^[\]]*)\]|([^[\]:]*)):([0-9]*)$/.exec(text) ?? []
  if (digits === undefined) return { wrong: 'it is not HOST:PORT, with an IPv6 address in brackets' }
  const port = /^[1-9][0-9]{0,4}$/.test(digits) ? Number(digits) : 0
  if (port < 1 || port > 65535) return { wrong: 'the port is not a number from 1 to 65535' }
  return { host: bracketed ?? plain ?? '', isBracketed: bracketed !== undefined, port }
}

function parseIpv6(text: string): Host | Unreadable {
  const address = parseAddress(text)
  return address?.family === 6 ? { kind: 'address', address } : { wrong: 'what stands in brackets is not an IPv6 address' }
}
