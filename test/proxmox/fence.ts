/** Which connections a VM's firewall lets out, as far as a stand-in must know it: addresses and TCP ports. */
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import type { FirewallRule, Network, Nic } from './guests.ts'

export interface Destination {
  readonly address: string
  readonly port: number
}

/** True when some card of the VM leads there: one that is plugged in, and whose rules, if any stand before it, accept. */
export const mayReach = (network: Network, to: Destination): boolean => network.nics.some((nic) => isPlugged(nic) && (!nic.fenced || accepts(network, nic, to)))

export const isPlugged = (nic: Nic): boolean => nic.bridge !== null && !nic.linkDown

function accepts(network: Network, nic: Nic, to: Destination): boolean {
  const rule = network.rules.find((each) => decides(each, nic, to))
  return (rule?.action ?? network.policyOut) === 'ACCEPT'
}

/** A rule narrowed by what nobody can judge here (a source, a macro) never accepts and always refuses. */
function decides(rule: FirewallRule, nic: Nic, to: Destination): boolean {
  if (!rule.enabled || rule.direction !== 'out') return false
  if (rule.iface !== undefined && rule.iface !== `net${nic.index}`) return false
  if (rule.protocol !== undefined && rule.protocol !== 'tcp' && rule.protocol !== '6') return false
  if (rule.destination !== undefined && !holdsAddress(rule.destination, to.address)) return false
  if (rule.destinationPort !== undefined && !holdsPort(rule.destinationPort, to.port)) return false
  const isVague = rule.source !== undefined || rule.sourcePort !== undefined || rule.macro !== undefined
  return !isVague || rule.action !== 'ACCEPT'
}

const familyOf = (address: string): 'ipv4' | 'ipv6' => (isIPv6(address) ? 'ipv6' : 'ipv4')

/** Addresses, networks and ranges, separated by commas. Throws for names: aliases and sets are not modelled. */
function holdsAddress(list: string, address: string): boolean {
  const places = new BlockList()
  for (const word of list.split(',').map((each) => each.trim())) {
    const [, network = '', bits] = /^([^/]+)\/(\d+)$/.exec(word) ?? []
    const [from = '', to] = word.split('-')
    const first = bits === undefined ? from : network
    if (!isIPv4(first) && !isIPv6(first)) throw new Error(`the stand-in's firewall does not know the destination '${word}'`)
    if (bits !== undefined) places.addSubnet(network, Number(bits), familyOf(network))
    else if (to !== undefined) places.addRange(from, to, familyOf(from))
    else places.addAddress(from, familyOf(from))
  }
  return places.check(address, familyOf(address))
}

/** Ports and ranges `from:to`, separated by commas. */
const holdsPort = (list: string, port: number): boolean =>
  list.split(',').some((word) => {
    const [from = '', to = from] = word.trim().split(':')
    return port >= Number(from) && port <= Number(to)
  })
