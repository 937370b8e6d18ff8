/** Kinds of addresses: the registries' special ranges are never public, each to its last address, and what they leave is. */
import assert from 'node:assert/strict'
import { BlockList } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from './address.ts'
import { type AddressClass, classOf } from './address-class.ts'

/** First and last of each range, written out by hand from the registries (the table under test is written as prefixes). */
const EDGES: readonly (readonly [string, string, AddressClass])[] = [
  ['0.0.0.0', '0.255.255.255', 'unspecified'],
  ['10.0.0.0', '10.255.255.255', 'private'],
  ['100.64.0.0', '100.127.255.255', 'private'],
  ['127.0.0.0', '127.255.255.255', 'loopback'],
  ['169.254.0.0', '169.254.255.255', 'link-local'],
  ['172.16.0.0', '172.31.255.255', 'private'],
  ['192.0.0.0', '192.0.0.255', 'reserved'],
  ['192.0.2.0', '192.0.2.255', 'documentation'],
  ['192.88.99.0', '192.88.99.255', 'translated'],
  ['192.168.0.0', '192.168.255.255', 'private'],
  ['198.18.0.0', '198.19.255.255', 'benchmarking'],
  ['198.51.100.0', '198.51.100.255', 'documentation'],
  ['203.0.113.0', '203.0.113.255', 'documentation'],
  ['224.0.0.0', '239.255.255.255', 'multicast'],
  ['240.0.0.0', '255.255.255.254', 'reserved'],
  ['::2', '::ffff:ffff', 'translated'],
  ['::ffff:0.0.0.0', '::ffff:255.255.255.255', 'translated'],
  ['64:ff9b::', '64:ff9b::ffff:ffff', 'translated'],
  ['64:ff9b:1::', '64:ff9b:1:ffff:ffff:ffff:ffff:ffff', 'translated'],
  ['2001::', '2001:0:ffff:ffff:ffff:ffff:ffff:ffff', 'translated'],
  ['2001:2::', '2001:2:0:ffff:ffff:ffff:ffff:ffff', 'benchmarking'],
  ['2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', 'documentation'],
  ['2002::', '2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'translated'],
  ['3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff', 'documentation'],
  ['fc00::', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'private'],
  ['fe80::', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'link-local'],
  ['fec0::', 'feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'reserved'],
  ['ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'multicast'],
  ['4000::', 'fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'reserved'],
]

const kindOf = (text: string): AddressClass => {
  const address = parseAddress(text)
  assert.ok(address, text)
  return classOf(address)
}

test('each special range is what it is, from its first address to its last', () => {
  for (const [first, last, kind] of EDGES) assert.deepEqual([kindOf(first), kindOf(last)], [kind, kind], `${first} to ${last}`)
})

test('the addresses beside the ranges are public', () => {
  for (const text of [
    '1.0.0.0',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '169.253.255.255',
    '169.255.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.1.0',
    '192.167.255.255',
    '192.169.0.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
    '2001:200::',
    '2001:db7:ffff::',
    '2001:db9::',
    '2003::',
    '2606:4700::1111',
    '3ffe::',
  ])
    assert.equal(kindOf(text), 'public', text)
})

test("the clouds' metadata addresses are known by name, whatever range they lie in", () => {
  for (const text of ['169.254.169.254', '100.100.100.200', '168.63.129.16', '192.0.0.192', 'fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254'])
    assert.equal(kindOf(text), 'metadata', text)
  assert.deepEqual([kindOf('255.255.255.255'), kindOf('::'), kindOf('::1'), kindOf('0.0.0.0')], ['broadcast', 'unspecified', 'loopback', 'unspecified'])
})

test('an address is public exactly when no special range holds it', () => {
  // One list each, because Node finds an IPv4 address among mapped ones too.
  const special = { ipv4: new BlockList(), ipv6: new BlockList() }
  const familyOf = (text: string) => (text.includes(':') ? 'ipv6' : 'ipv4')
  for (const [first, last] of EDGES) special[familyOf(first)].addRange(first, last, familyOf(first))
  special.ipv6.addSubnet('2001::', 23, 'ipv6')
  special.ipv6.addSubnet('::', 3, 'ipv6')
  for (const text of ['168.63.129.16', '255.255.255.255']) special.ipv4.addAddress(text)
  const ipv4 = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((parts) => parts.join('.'))
  const ipv6 = fc
    .tuple(fc.constantFrom(0, 0x64, 0x2001, 0x2002, 0x2606, 0x3fff, 0xfd00, 0xfe80), fc.array(fc.nat(0xffff), { minLength: 7, maxLength: 7 }))
    .map(([head, rest]) => [head, ...rest].map((value) => value.toString(16)).join(':'))
  fc.assert(
    fc.property(fc.oneof(ipv4, ipv6), (text) => {
      const isSpecial = special[familyOf(text)].check(text, familyOf(text))
      assert.equal(kindOf(text) === 'public', !isSpecial, text)
    }),
    { numRuns: 5_000 },
  )
})

test('an IPv4 address in the clothes of IPv6 is never public', () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), (bits) => {
      const [high, low] = [(bits >>> 16).toString(16), (bits & 0xffff).toString(16)]
      for (const text of [`::ffff:${high}:${low}`, `::${high}:${low}`, `64:ff9b::${high}:${low}`, `2002:${high}:${low}::1`, `2001:0:${high}:${low}::`])
        assert.notEqual(kindOf(text), 'public', text)
    }),
  )
})
