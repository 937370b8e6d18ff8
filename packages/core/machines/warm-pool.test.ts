import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { rememberedStarts, warmTarget } from './warm-pool.ts'

const MINUTE_MS = 60_000
const NOW = 100 * MINUTE_MS
const ago = (...seconds: number[]) => seconds.map((each) => NOW - each * 1000)

describe('the size of the warm pool', () => {
  it('is none when nobody starts machines, and none again ten minutes after the last start', () => {
    assert.equal(warmTarget([], NOW, 8), 0)
    assert.equal(warmTarget(ago(599), NOW, 8), 1)
    assert.equal(warmTarget(ago(600, 700), NOW, 8), 0)
  })

  it('is as large as the densest ten seconds, whatever the order of what is remembered', () => {
    assert.equal(warmTarget(ago(300, 200, 100), NOW, 8), 1)
    assert.equal(warmTarget(ago(105, 101, 100, 96, 30), NOW, 8), 4)
    assert.equal(warmTarget(ago(96, 30, 105, 100, 101), NOW, 8), 4)
    assert.equal(warmTarget(ago(110, 100), NOW, 8), 1)
  })

  it('is never more than the host can spare, nor than what was started', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: NOW - 20 * MINUTE_MS, max: NOW + MINUTE_MS })), fc.nat(10), (starts, most) => {
        const target = warmTarget(starts, NOW, most)
        assert.ok(target <= most && target <= starts.length)
      }),
    )
  })

  it('is the same from what is remembered as from everything', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 8_000 }), { maxLength: 300 }), fc.integer({ min: 1, max: 8 }), (gapsMs, most) => {
        let [at, kept] = [0, [] as readonly number[]]
        const all: number[] = []
        for (const gap of gapsMs) {
          at += gap
          all.push(at)
          kept = rememberedStarts([...kept, at], at, most)
        }
        assert.equal(warmTarget(kept, at, most), warmTarget(all, at, most))
      }),
    )
  })
})
