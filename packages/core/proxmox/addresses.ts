/** Addresses of machines on a bridge without DHCP: each VM's own follows from its number, so that none is given twice and nobody has to remember any. */
import type { VmidRange } from './vmids.ts'

export interface StaticNetwork {
  /** `10.90.0.0/18` */
  readonly subnet: string
  /** Of the first number. */
  readonly first: string
  readonly gateway: string | null
  readonly nameserver: string | null
}

const MOST = 2 ** 32 - 1

/** An IPv4 address as a number; NaN for what is none. */
export function numberOf(address: string): number {
  const parts = address.split('.')
  if (parts.length !== 4 || parts.some((part) => !/^(?:0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255)) return Number.NaN
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0)
}

export const addressOf = (number: number): string => [24, 16, 8, 0].map((bits) => Math.floor(number / 2 ** bits) % 256).join('.')

interface Subnet {
  readonly network: number
  readonly broadcast: number
  readonly bits: number
}

function subnetOf(text: string): Subnet {
  const [address = '', length = ''] = text.split('/')
  const bits = Number(length)
  const size = 2 ** (32 - bits)
  const network = Math.floor(numberOf(address) / size) * size
  return { network, broadcast: Math.min(MOST, network + size - 1), bits }
}

/** Whether an address is one of a host in that network. */
export function isInSubnet(address: string, subnet: string): boolean {
  const { network, broadcast } = subnetOf(subnet)
  const number = numberOf(address)
  return number > network && number < broadcast
}

/** What is wrong with a network for this range of numbers, in sentences; `others` are addresses on the bridge that no machine may have (the Hub's gate). */
export function networkProblems(network: StaticNetwork, vmids: VmidRange, others: readonly string[]): string[] {
  const { network: lowest, broadcast, bits } = subnetOf(network.subnet)
  if (Number.isNaN(lowest) || !Number.isInteger(bits) || bits < 8 || bits > 30) return [`${network.subnet} is not a network of /8 to /30`]
  const first = numberOf(network.first)
  const last = first + (vmids.to - vmids.from)
  const problems: string[] = []
  if (!isInSubnet(network.first, network.subnet)) problems.push(`${network.first} is not an address in ${network.subnet}`)
  else if (last >= broadcast) {
    const room = Math.max(0, broadcast - first)
    problems.push(
      `${network.subnet} has ${room} addresses from ${network.first} on, and the numbers ${vmids.from} to ${vmids.to} need ${vmids.to - vmids.from + 1}: take a larger network, or the numbers ${vmids.from} to ${vmids.from + Math.max(0, room - 1)}`,
    )
  }
  if (network.gateway !== null && !isInSubnet(network.gateway, network.subnet)) problems.push(`the gateway ${network.gateway} is not in ${network.subnet}`)
  for (const other of new Set([...others, ...(network.gateway === null ? [] : [network.gateway])])) {
    const number = numberOf(other)
    if (number >= first && number <= last) problems.push(`${other} would be a machine’s: begin behind it, or end before it`)
  }
  return problems
}

/** What Proxmox's cloud-init drive says of the first card, as its option `ipconfig0`. The network must have no problems. */
export function ipconfigOf(network: StaticNetwork | null, vmids: VmidRange, vmid: number): string {
  if (network === null) return 'ip=dhcp'
  if (vmid < vmids.from || vmid > vmids.to) throw new RangeError(`${vmid} is not in the range of machines`)
  const address = addressOf(numberOf(network.first) + (vmid - vmids.from))
  const gateway = network.gateway === null ? '' : `,gw=${network.gateway}`
  return `ip=${address}/${subnetOf(network.subnet).bits}${gateway}`
}
