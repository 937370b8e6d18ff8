/** Allow-lists: what is read means one thing, what is not allowed word for word is not, and no rule opens the Hub's own loopback or a cloud's metadata. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from './address.ts'
import { classOf } from './address-class.ts'
import { destinationText, parseDestination } from './destination.ts'
import { allowsPlace, findRule, parseRule, placeOf, type Rule, ruleText } from './rules.ts'

const rule = (destination: string, isPrivate = false): Rule => {
  const read = parseRule({ destination, private: isPrivate })
  if ('wrong' in read) throw new Error(`${destination}: ${read.wrong}`)
  return read
}
const wrongOf = (destination: string, isPrivate = false): string | null => {
  const read = parseRule({ destination, private: isPrivate })
  return 'wrong' in read ? read.wrong : null
}
const allows = (rules: readonly string[], destination: string): boolean => {
  const asked = parseDestination(destination)
  return (
    !('wrong' in asked) &&
    findRule(
      rules.map((text) => rule(text)),
      asked,
    ) !== undefined
  )
}

const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}[a-z]$/)
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'))
const port = fc.integer({ min: 1, max: 65535 })

test('a destination reads as itself, in lower case and without the dot at its end', () => {
  fc.assert(
    fc.property(name, port, fc.boolean(), fc.boolean(), (host, number, isUpper, hasDot) => {
      const asked = parseDestination(`${isUpper ? host.toUpperCase() : host}${hasDot ? '.' : ''}:${number}`)
      assert.ok(!('wrong' in asked))
      assert.equal(destinationText(asked), `${host}:${number}`)
    }),
  )
})

test('whatever is read, its text reads as the same again', () => {
  const noise = fc.string({ unit: fc.constantFrom(...'abz019.:-_*[]@/%#? \r\n\0'), maxLength: 30 })
  fc.assert(
    fc.property(fc.oneof(noise, fc.string({ unit: 'binary', maxLength: 30 })), (text) => {
      const asked = parseDestination(text)
      if ('wrong' in asked) return
      const again = parseDestination(destinationText(asked))
      assert.deepEqual(again, asked)
      assert.match(destinationText(asked), /^[a-z0-9._:[\]-]+$/)
    }),
    { numRuns: 5_000 },
  )
})

test('a name is allowed word for word and at its port alone', () => {
  fc.assert(
    fc.property(name, name, port, port, (one, other, here, there) => {
      assert.ok(allows([`${one}:${here}`], `${one.toUpperCase()}.:${here}`))
      assert.equal(allows([`${one}:${here}`], `${other}:${there}`), one === other && here === there)
      assert.ok(!allows([`${one}:${here}`], `${other}.${one}:${here}`))
    }),
  )
})

test('a star stands for subdomains of any depth, and neither for the name itself nor for what only ends alike', () => {
  fc.assert(
    fc.property(name, name, port, (sub, base, number) => {
      const list = [`*.${base}:${number}`]
      assert.ok(allows(list, `${sub}.${base}:${number}`))
      assert.ok(!allows(list, `${base}:${number}`))
      assert.ok(!allows(list, `x${base}:${number}`))
    }),
  )
  for (const text of ['*:443', '*x.example.com:443', 'a.*.com:443', '*.1.2.3.4:443', '[*.example.com]:443', '**.example.com:443'])
    assert.notEqual(wrongOf(text), null, text)
})

test('an IPv6 address is allowed in whichever spelling it is asked for, a mapped one not as the IPv4 address that it means', () => {
  assert.ok(allows(['[2606:4700::1111]:443'], '[2606:4700:0:0:0:0:0:1111]:443'))
  assert.ok(!allows(['8.8.8.8:443'], '[::ffff:8.8.8.8]:443'))
  assert.ok(!allows(['*.com:443'], '8.8.8.8:443'))
})

test('what is no destination is refused with a sentence', () => {
  for (const text of [
    '',
    'example.com',
    ':443',
    'example.com:',
    'example.com:0',
    'example.com:65536',
    'example.com:0443',
    'example.com:+443',
    'http://example.com:443',
    'user@example.com:443',
    'example.com:443/x',
    'exa mple.com:443',
    'example.com\r\nx:443',
    'bücher.example:443',
    'a..b:443',
    '-a.example:443',
    '2606:4700::1111:443',
    '[8.8.8.8]:443',
    '[fe80::1%eth0]:443',
    `${'a'.repeat(64)}.example:443`,
    `${'a.'.repeat(130)}example:443`,
  ])
    assert.ok('wrong' in parseDestination(text), JSON.stringify(text))
})

test('a private address must be allowed as such, by its literal, and a public one may be', () => {
  assert.match(wrongOf('10.0.0.5:5000') ?? '', /has to be allowed as such/)
  assert.equal(wrongOf('10.0.0.5:5000', true), null)
  assert.equal(wrongOf('[fd12::5]:5000', true), null)
  assert.match(wrongOf('registry.example:5000', true) ?? '', /not a name/)
  assert.match(wrongOf('*.example:5000', true) ?? '', /not a name/)
})

test('no rule of any kind lets through to loopback, link-local, metadata or any other place that is nobody’s network', () => {
  for (const host of [
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '169.254.1.1',
    '169.254.169.254',
    '224.0.0.1',
    '255.255.255.255',
    '192.0.2.1',
    '198.18.0.1',
    '100.100.100.200',
  ])
    for (const isPrivate of [false, true]) assert.match(wrongOf(`${host}:80`, isPrivate) ?? '', /no machine can be allowed/, host)
  for (const host of ['::1', '::', '::ffff:10.0.0.1', '64:ff9b::a00:1', '2002:a00:1::', 'fe80::1', 'fd00:ec2::254', 'ff02::1'])
    for (const isPrivate of [false, true]) assert.match(wrongOf(`[${host}]:80`, isPrivate) ?? '', /no machine can be allowed/, host)
})

test('an address behind a rule is let through exactly when it is public, or private and allowed by its literal as such', () => {
  const anyRule = fc.constantFrom(
    rule('example.com:443'),
    rule('*.example.com:443'),
    rule('8.8.8.8:443'),
    rule('10.0.0.5:443', true),
    rule('8.8.4.4:443', true),
  )
  const ipv4 = fc.oneof(
    fc.constantFrom('10.0.0.5', '127.0.0.1', '169.254.169.254', '192.168.1.1'),
    fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((parts) => parts.join('.')),
  )
  fc.assert(
    fc.property(anyRule, ipv4, fc.boolean(), (one, text, isOwn) => {
      const address = parseAddress(text)
      assert.ok(address)
      const place = placeOf(address, new Set(isOwn ? [text] : []))
      const kind = classOf(address)
      const expected = (kind === 'public' && !isOwn) || (one.isPrivate && (kind === 'private' || kind === 'public'))
      assert.equal(allowsPlace(one, place), expected, `${ruleText(one).destination} ${text}`)
    }),
    { numRuns: 2_000 },
  )
})

test('the rule that also allows what is private wins over the same one without', () => {
  const asked = parseDestination('8.8.8.8:443')
  assert.ok(!('wrong' in asked))
  assert.equal(findRule([rule('8.8.8.8:443'), rule('8.8.8.8:443', true)], asked)?.isPrivate, true)
})
