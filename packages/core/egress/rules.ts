/** What a project allows its machines to reach, and whether a destination, and then the address behind it, is among that. */
import type { Address } from './address.ts'
import { type AddressClass, classOf } from './address-class.ts'
import { type Destination, destinationText, type Host, parseDestination, parseName, splitPort, type Unreadable } from './destination.ts'

export type RuleHost = Host | { readonly kind: 'subdomains'; readonly of: string }

/** One line of an allow-list. */
export interface Rule {
  readonly host: RuleHost
  readonly port: number
  /** Somebody knows that this very address lies in a network of their own. */
  readonly isPrivate: boolean
}

/** As a person writes it and as it is kept. */
export interface RuleText {
  readonly destination: string
  readonly private: boolean
}

/** Where an address lies for the one who connects: `own` is one of the Hub's host itself, whatever its kind. */
export type Place = AddressClass | 'own'

/** What a rule can allow beyond the public network, by naming the very address. Loopback, link-local, metadata and all the rest it cannot. */
const ALLOWABLE: ReadonlySet<Place> = new Set(['private', 'own'])

export interface NoRule extends Unreadable {
  /** What could be allowed: the same as private, or the same service at an address in a network of one's own. */
  readonly instead?: 'as-private' | 'elsewhere'
}

/** Reads a rule; a sentence for what could never allow anything, or more than was meant. */
export function parseRule({ destination, private: isPrivate }: RuleText): Rule | NoRule {
  const where = parseRuleDestination(destination)
  if ('wrong' in where) return where
  const rule = { ...where, isPrivate }
  if (rule.host.kind !== 'address') return isPrivate ? { wrong: 'only an IP address can be allowed as private, not a name' } : rule
  const place = classOf(rule.host.address)
  if (place === 'public' || (isPrivate && ALLOWABLE.has(place))) return rule
  if (ALLOWABLE.has(place)) return { wrong: `${rule.host.address.text} is a ${place} address, which has to be allowed as such`, instead: 'as-private' }
  return { wrong: `${rule.host.address.text} is a ${place} address, which no machine can be allowed to reach`, instead: 'elsewhere' }
}

/** The canonical text of a rule. */
export function ruleText({ host, port, isPrivate }: Rule): RuleText {
  return { destination: host.kind === 'subdomains' ? `*.${host.of}:${port}` : destinationText({ host, port }), private: isPrivate }
}

/** The rule that allows it; of several, one that also allows what is private. */
export function findRule(rules: readonly Rule[], destination: Destination): Rule | undefined {
  const fitting = rules.filter((rule) => rule.port === destination.port && fits(rule.host, destination.host))
  return fitting.find(({ isPrivate }) => isPrivate) ?? fitting[0]
}

/** Whether a rule lets anybody through to an address in that place. */
export const allowsPlace = (rule: Rule, place: Place): boolean => place === 'public' || (rule.isPrivate && rule.host.kind === 'address' && ALLOWABLE.has(place))

/** Where it lies for a Hub that has these addresses itself: on such a one listens whatever the Hub's host keeps from the world by its firewall. */
export function placeOf(address: Address, own: ReadonlySet<string>): Place {
  const place = classOf(address)
  return own.has(address.text) && (place === 'public' || ALLOWABLE.has(place)) ? 'own' : place
}

function parseRuleDestination(text: string): Pick<Rule, 'host' | 'port'> | Unreadable {
  if (!text.startsWith('*')) return parseDestination(text)
  const split = splitPort(text)
  if ('wrong' in split) return split
  if (!split.host.startsWith('*.') || split.isBracketed) return { wrong: '* stands for subdomains alone, as in *.example.com:443' }
  const name = parseName(split.host.slice(2))
  return typeof name === 'string' ? { host: { kind: 'subdomains', of: name }, port: split.port } : name
}

function fits(allowed: RuleHost, host: Host): boolean {
  if (allowed.kind === 'address') return host.kind === 'address' && allowed.address.text === host.address.text
  if (host.kind !== 'name') return false
  return allowed.kind === 'name' ? allowed.name === host.name : host.name.endsWith(`.${allowed.of}`)
}
