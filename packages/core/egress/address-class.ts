/** What kind of place an IP address is: everything but `public` is refused unless somebody has allowed exactly that address, and most of it even then. */
import { type Address, parseAddress } from './address.ts'

export type AddressClass =
  | 'public'
  /** RFC 1918, RFC 6598 (carriers' own), and IPv6 unique local: networks of somebody's own. */
  | 'private'
  | 'loopback'
  | 'link-local'
  /** Where clouds answer with keys of the host. */
  | 'metadata'
  | 'unspecified'
  | 'multicast'
  | 'broadcast'
  | 'documentation'
  | 'benchmarking'
  /** IPv6 that stands for an IPv4 address: mapped, compatible, NAT64, 6to4, Teredo. Its IPv4 form is the one to ask for. */
  | 'translated'
  | 'reserved'

/** The first that fits says it, so the exceptions stand before what they are taken from. Sources: the IANA special-purpose registries, RFC 6890, and the clouds' own pages. */
const IPV4: readonly (readonly [string, AddressClass])[] = [
  ['169.254.169.254/32', 'metadata'],
  // Alibaba, in the carriers' range; Azure, in a public one; Oracle, in the IETF's.
  ['100.100.100.200/32', 'metadata'],
  ['168.63.129.16/32', 'metadata'],
  ['192.0.0.192/32', 'metadata'],
  ['0.0.0.0/8', 'unspecified'],
  ['10.0.0.0/8', 'private'],
  ['100.64.0.0/10', 'private'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['172.16.0.0/12', 'private'],
  ['192.0.0.0/24', 'reserved'],
  ['192.0.2.0/24', 'documentation'],
  ['192.88.99.0/24', 'translated'],
  ['192.168.0.0/16', 'private'],
  ['198.18.0.0/15', 'benchmarking'],
  ['198.51.100.0/24', 'documentation'],
  ['203.0.113.0/24', 'documentation'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'broadcast'],
  ['240.0.0.0/4', 'reserved'],
  ['0.0.0.0/0', 'public'],
]
const IPV6: readonly (readonly [string, AddressClass])[] = [
  // AWS (fd00:ec2::254 and its neighbours), Google Cloud.
  ['fd00:ec2::/32', 'metadata'],
  ['fd20:ce::254/128', 'metadata'],
  ['::/128', 'unspecified'],
  ['::1/128', 'loopback'],
  ['::/96', 'translated'],
  ['::ffff:0:0/96', 'translated'],
  ['::ffff:0:0:0/96', 'translated'],
  ['64:ff9b::/96', 'translated'],
  ['64:ff9b:1::/48', 'translated'],
  ['2001::/32', 'translated'],
  ['2001:2::/48', 'benchmarking'],
  ['2001::/23', 'reserved'],
  ['2001:db8::/32', 'documentation'],
  ['2002::/16', 'translated'],
  ['3fff::/20', 'documentation'],
  ['fc00::/7', 'private'],
  ['fe80::/10', 'link-local'],
  // Site-local, given up long ago (RFC 3879).
  ['fec0::/10', 'reserved'],
  ['ff00::/8', 'multicast'],
  // Nothing else has been given out.
  ['2000::/3', 'public'],
  ['::/0', 'reserved'],
]

interface Range {
  readonly shift: bigint
  readonly prefix: bigint
  readonly class: AddressClass
}

const RANGES = { 4: IPV4.map(rangeOf), 6: IPV6.map(rangeOf) } as const

/** Which it is, by the narrowest range that holds it. */
export function classOf({ family, bits }: Address): AddressClass {
  const range = RANGES[family].find(({ shift, prefix }) => bits >> shift === prefix)
  if (!range) throw new RangeError('the last range holds every address')
  return range.class
}

function rangeOf([text, kind]: readonly [string, AddressClass]): Range {
  const [base = '', length = ''] = text.split('/')
  const address = parseAddress(base)
  if (!address) throw new RangeError(`${base} is no address`)
  const shift = BigInt((address.family === 4 ? 32 : 128) - Number(length))
  return { shift, prefix: address.bits >> shift, class: kind }
}
