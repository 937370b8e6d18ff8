/** Addresses: one spelling of IPv4, every spelling of IPv6 to one text, and nothing that a laxer parser would take for an address passes as a name. */
import assert from 'node:assert/strict'
import { isIP, isIPv4 } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from './address.ts'
import { parseHost } from './destination.ts'

const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255))
const group = fc.oneof(fc.constant(0), fc.nat(0xffff))
const groups = fc.array(group, { minLength: 8, maxLength: 8 })

test('canonical dotted decimal is an address whose text is itself', () => {
  fc.assert(
    fc.property(octets, (parts) => {
      const address = parseAddress(parts.join('.'))
      assert.deepEqual([address?.family, address?.text], [4, parts.join('.')])
      assert.equal(
        address?.bits,
        parts.reduce((bits, part) => bits * 256n + BigInt(part), 0n),
      )
    }),
  )
})

test('no other spelling of IPv4 is an address, nor a name', () => {
  const spelt = fc
    .tuple(octets, fc.constantFrom(1, 2, 3, 4), fc.constantFrom(8, 10, 16), fc.constantFrom('', '0', '00'))
    .map(([parts, count, radix, zeros]) => {
      const last = parts.slice(count - 1).reduce((sum, part) => sum * 256 + part, 0)
      const digits = (n: number) => (radix === 16 ? `0x${zeros}${n.toString(16)}` : radix === 8 ? `0${zeros}${n.toString(8)}` : `${zeros}${n}`)
      return [...parts.slice(0, count - 1), last].map(digits).join('.')
    })
  fc.assert(
    fc.property(spelt, (text) => {
      if (isIPv4(text)) return
      assert.equal(parseAddress(text), undefined)
      assert.ok('wrong' in parseHost(text), text)
    }),
    { numRuns: 500 },
  )
  for (const text of [
    '2130706433',
    '0x7f.1',
    '017700000001',
    '127.1',
    '0177.0.0.1',
    '127.0.0.1.',
    '0x7f000001',
    '127.0.0.0x1',
    '1.2.3.4.5',
    '256.1.1.1',
    '１２７.0.0.1',
  ])
    assert.ok('wrong' in parseHost(text), text)
})

test('what passes as a name is no IPv4 address to the parser of URLs either', () => {
  const label = fc.string({ unit: fc.constantFrom(...'0123456789abcdefx-_'), minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(fc.array(label, { minLength: 1, maxLength: 5 }), (labels) => {
      const host = parseHost(labels.join('.'))
      if ('wrong' in host || host.kind === 'address') return
      assert.ok(!isIPv4(URL.parse(`http://${host.name}/`)?.hostname ?? ''), host.name)
    }),
    { numRuns: 2_000 },
  )
})

test('every spelling of an IPv6 address gives the one text that the parser of URLs gives', () => {
  const spelt = fc.tuple(groups, fc.nat(7), fc.nat(8), fc.boolean(), fc.boolean()).map(([all, from, length, upper, padded]) => {
    const words = all.map((value) => (padded ? value.toString(16).padStart(4, '0') : value.toString(16)))
    const zeros = all.slice(from, from + length)
    const text =
      zeros.length > 0 && zeros.every((value) => value === 0) ? `${words.slice(0, from).join(':')}::${words.slice(from + length).join(':')}` : words.join(':')
    return { all, text: upper ? text.toUpperCase() : text }
  })
  fc.assert(
    fc.property(spelt, ({ all, text }) => {
      const address = parseAddress(text)
      assert.equal(address?.family, 6, text)
      assert.equal(
        address?.bits,
        all.reduce((bits, value) => bits * 65536n + BigInt(value), 0n),
      )
      assert.equal(`[${address?.text}]`, new URL(`http://[${text}]/`).hostname)
    }),
    { numRuns: 1_000 },
  )
})

test('no text is an address that Node does not take for one', () => {
  const near = fc.string({ unit: fc.constantFrom(...'0123456789abcf:.%[]x '), maxLength: 24 })
  fc.assert(
    fc.property(near, (text) => {
      const address = parseAddress(text)
      if (address) assert.equal(isIP(text), address.family)
      else assert.ok(isIP(text) === 0 || text.includes('%'), text)
    }),
    { numRuns: 5_000 },
  )
  assert.equal(parseAddress('fe80::1%eth0'), undefined)
  assert.equal(parseAddress('::ffff:1.2.3.4')?.text, '::ffff:102:304')
})
