import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type Account, availableOf, crossedBy, headroomOf, type Links, leftOf, metOf, reachedOf, tightestOf } from './account.ts'

const amount = fc.bigInt(0n, 2n ** 62n)
const account: fc.Arbitrary<Account> = fc.record({
  limit: amount,
  settled: amount,
  reserved: amount,
  setAside: fc.constant(0n),
  isClosed: fc.boolean(),
  isFrozen: fc.boolean(),
  sharePpm: fc.bigInt(0n, 1_000_000n),
  thresholds: fc.uniqueArray(fc.integer({ min: 1, max: 99 }), { maxLength: 4 }).map((percents) => percents.sort((a, b) => a - b)),
})
const open = account.map((one): Account => ({ ...one, isClosed: false, isFrozen: false }))
const chainOf = (one: fc.Arbitrary<Account>): fc.Arbitrary<Links> => fc.array(one, { minLength: 1, maxLength: 8 }) as unknown as fc.Arbitrary<Links>
const whole = (links: Links): Links => links.map((link) => ({ ...link, sharePpm: 1_000_000n })) as unknown as Links

describe('what a chain of budgets has available', () => {
  it('is never negative and never more than any link has left', () => {
    fc.assert(
      fc.property(chainOf(account), (links) => {
        const available = availableOf(links)
        assert.ok(available >= 0n)
        for (const link of links) assert.ok(available <= leftOf(link))
      }),
    )
  })

  it('is exactly the least that is left while nobody has set a share', () => {
    fc.assert(
      fc.property(chainOf(account), (links) =>
        assert.equal(availableOf(whole(links)), leftOf(links.toSorted((a, b) => compare(leftOf(a), leftOf(b)))[0] ?? links[0])),
      ),
    )
  })

  it('fits on every link once it is held, so that the invariant stays', () => {
    fc.assert(
      fc.property(chainOf(open), (links) => {
        const held = availableOf(links)
        for (const link of links) if (held > 0n) assert.ok(link.settled + link.reserved + held <= link.limit)
      }),
    )
  })

  it('gives a link its share of what is left above it, rounded down, and nothing of a share of nothing', () => {
    fc.assert(
      fc.property(open, amount, fc.bigInt(0n, 1_000_000n), (narrow, limit, sharePpm) => {
        const root: Account = { ...narrow, limit, settled: 0n, reserved: 0n, sharePpm: 1_000_000n }
        const wide: Account = { ...root, limit: 2n ** 62n, sharePpm }
        assert.equal(availableOf([wide, root]), (limit * sharePpm) / 1_000_000n)
        assert.equal(availableOf([{ ...wide, sharePpm: 0n }, root]), 0n)
      }),
    )
  })

  it('never shrinks when a share, a limit or what is settled is changed in its favour', () => {
    fc.assert(
      fc.property(chainOf(open), fc.nat(7), amount, (links, at, more) => {
        const index = at % links.length
        const better = (change: (link: Account) => Account) => links.map((link, each) => (each === index ? change(link) : link)) as unknown as Links
        const before = availableOf(links)
        assert.ok(availableOf(better((link) => ({ ...link, limit: link.limit + more }))) >= before)
        assert.ok(availableOf(better((link) => ({ ...link, settled: 0n }))) >= before)
        assert.ok(availableOf(better((link) => ({ ...link, sharePpm: 1_000_000n }))) >= before)
      }),
    )
  })

  it('is nothing beneath a closed or frozen link', () => {
    fc.assert(
      fc.property(chainOf(open), fc.nat(7), fc.boolean(), (links, at, isClosed) => {
        const shut = links.map((link, index) => (index === at % links.length ? { ...link, isClosed, isFrozen: !isClosed } : link)) as unknown as Links
        assert.equal(availableOf(shut), 0n)
        assert.equal(headroomOf(shut), 0n)
      }),
    )
  })

  it('is at most what it would be if every open reservation came back', () => {
    fc.assert(
      fc.property(chainOf(account), (links) => {
        assert.ok(availableOf(links) <= headroomOf(links))
        assert.equal(headroomOf(links), availableOf(links.map((link) => ({ ...link, reserved: 0n })) as unknown as Links))
      }),
    )
  })

  it('is bound by the link that is named as the tightest', () => {
    fc.assert(
      fc.property(chainOf(account), (links) => {
        const tightest = tightestOf(whole(links))
        assert.equal(leftOf(tightest), availableOf(whole(links)))
        assert.ok(tightestOf(links) !== undefined && links.includes(tightestOf(links)))
      }),
    )
  })
})

describe('the thresholds of a budget', () => {
  it('are each crossed at most once on the way to the limit, in order, and exhaustion exactly once', () => {
    fc.assert(
      fc.property(fc.bigInt(1n, 10_000n), account, fc.array(fc.bigInt(0n, 3_000n), { maxLength: 30 }), (limit, { thresholds }, charges) => {
        let settled = 0n
        const told: number[] = []
        for (const charge of charges) {
          const percent = crossedBy({ limit, settled, reserved: 0n, setAside: 0n, isClosed: false, isFrozen: false, sharePpm: 1_000_000n, thresholds }, charge)
          if (percent !== undefined) told.push(percent)
          settled += charge
        }
        assert.deepEqual(
          told,
          [...new Set(told)].sort((a, b) => a - b),
        )
        assert.equal(told.includes(100), settled >= limit)
        const reached = [...thresholds, 100].filter((percent) => settled * 100n >= limit * BigInt(percent))
        assert.equal(told.at(-1), reached.at(-1))
      }),
    )
  })

  it('may be crossed again after the limit was raised', () => {
    const before: Account = { limit: 100n, settled: 70n, reserved: 0n, setAside: 0n, isClosed: false, isFrozen: false, sharePpm: 1_000_000n, thresholds: [80] }
    assert.equal(crossedBy(before, 15n), 80)
    assert.equal(crossedBy({ ...before, limit: 200n, settled: 85n }, 75n), 80)
    assert.equal(crossedBy({ ...before, limit: 0n }, 1n), undefined)
  })
})

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0)

describe('what an agent is told of its limits', () => {
  it('is the narrowest limit that is met, even if all that calls hold came back, but not what is set aside', () => {
    fc.assert(
      fc.property(chainOf(open), fc.bigInt(0n, 2n ** 40n), (links, aside) => {
        const kept = links.map((link) => ({ ...link, setAside: aside })) as unknown as Links
        const met = metOf(kept)
        const isMet = ({ settled, setAside, limit }: Account): boolean => settled + setAside >= limit
        assert.equal(met, kept.find(isMet))
        assert.equal(
          met === undefined,
          kept.every((link) => leftOf({ ...link, reserved: aside }) > 0n),
        )
      }),
    )
  })

  it('is the highest threshold that any link has reached', () => {
    const at = (settled: bigint, thresholds: number[]): Account => ({
      ...{ limit: 100n, settled, reserved: 0n, setAside: 0n, isClosed: false, isFrozen: false, sharePpm: 1_000_000n },
      thresholds,
    })
    assert.deepEqual(
      [reachedOf([at(79n, [80])]), reachedOf([at(80n, [80, 95])]), reachedOf([at(10n, [80]), at(96n, [50, 95])]), reachedOf([at(100n, [])])],
      [null, 80, 95, null],
    )
  })
})
