/** Lets through or refuses: the rule, then every address behind the name, then a connection to one of exactly those. A name is asked for once, so it cannot change in between. */
import type { Socket } from 'node:net'
import { AutovibeError } from '@autovibe/contract'
import { type Address, parseAddress } from '@autovibe/core/egress/address.ts'
import { type Destination, destinationText, hostText } from '@autovibe/core/egress/destination.ts'
import { allowsPlace, findRule, type Place, placeOf, type Rule } from '@autovibe/core/egress/rules.ts'
import type { Caller } from './callers.ts'
import { LIMITS } from './limits.ts'
import type { Network } from './network.ts'

export interface Passage {
  readonly address: Address
  readonly place: Place
  readonly socket: Socket
}

/** Not let through because of where an address lies; which one is for people to know, not for the machine. */
export class AddressRefused extends AutovibeError {
  readonly address: string
  readonly place: Place | 'unreadable'

  constructor(message: string, fix: string | undefined, address: string, place: Place | 'unreadable') {
    super('egress.address_refused', message, { fix })
    this.address = address
    this.place = place
  }
}

/** The rule of the list that allows it; `egress.not_allowed` with the command that would. */
export function ruleFor(caller: Pick<Caller, 'project' | 'rules'>, destination: Destination): Rule {
  const rule = findRule(caller.rules, destination)
  if (rule) return rule
  const text = destinationText(destination)
  const none = caller.rules.length === 0 ? 'and allows nothing beyond the Hub' : 'which is not on its list'
  const isOfOwnNetwork = destination.host.kind === 'address' && placeOf(destination.host.address, new Set()) === 'private'
  throw new AutovibeError('egress.not_allowed', `The project ${caller.project} does not allow ${text}, ${none}.`, {
    fix: `autovibe project egress ${caller.project} ${isOfOwnNetwork ? '--allow-private' : '--allow'} ${text}`,
  })
}

/** A connection to an address that was looked at. `egress.address_refused` when any address of the name is not let through, `egress.unreachable`. */
export async function openPassage(network: Network, project: string, destination: Destination, rule: Rule, signal: AbortSignal): Promise<Passage> {
  const addresses = await addressesOf(network, destination, signal)
  const own = network.ownAddresses()
  const checked = addresses.map((text) => {
    const address = parseAddress(text)
    if (!address) throw new AddressRefused(`${hostText(destination.host)} leads to something that is no address.`, undefined, text.slice(0, 100), 'unreadable')
    return { address, place: placeOf(address, own) }
  })
  const bad = checked.find(({ place }) => !allowsPlace(rule, place))
  if (bad) throw refusalOf(project, destination, bad.address, bad.place)
  let failure: unknown
  for (const { address, place } of checked.slice(0, LIMITS.addressesTried)) {
    try {
      const socket = await network.connect(address, destination.port, AbortSignal.any([signal, AbortSignal.timeout(LIMITS.connectMs)]))
      return { address, place, socket }
    } catch (error) {
      signal.throwIfAborted()
      failure = error
    }
  }
  throw new AutovibeError('egress.unreachable', `${destinationText(destination)} does not answer: ${wordOf(failure)}.`, { cause: failure })
}

async function addressesOf(network: Network, { host }: Destination, signal: AbortSignal): Promise<readonly string[]> {
  if (host.kind === 'address') return [host.address.text]
  let addresses: readonly string[]
  try {
    addresses = await network.resolve(host.name, AbortSignal.any([signal, AbortSignal.timeout(LIMITS.resolveMs)]))
  } catch (error) {
    signal.throwIfAborted()
    throw new AutovibeError('egress.unreachable', `The name ${host.name} could not be resolved: ${wordOf(error)}.`, { cause: error })
  }
  if (addresses.length === 0) throw new AutovibeError('egress.unreachable', `There is no ${host.name} in the DNS.`, { retryable: false })
  return addresses
}

function refusalOf(project: string, { host, port }: Destination, address: Address, place: Place): AddressRefused {
  const what = place === 'own' ? "an address of the Hub's own host" : `a ${place} address`
  const leads = host.kind === 'name' ? `${host.name} leads to ${what}` : `${hostText(host)} is ${what}`
  const isAllowable = place === 'own' || place === 'private'
  const fix = isAllowable ? `If it is meant, allow the address itself: autovibe project egress ${project} --allow-private ADDRESS:${port}` : undefined
  return new AddressRefused(`${leads}, where no rule of the project leads.`, fix, address.text, place)
}

/** The system's own word (ECONNREFUSED), which says nothing that the machine could not find out. */
const wordOf = (error: unknown): string => {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return error instanceof Error && error.name === 'TimeoutError' ? 'no answer in time' : 'no connection'
}
