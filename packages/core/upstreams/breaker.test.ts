/** The breaker against any order of calls, endings and clocks. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { abandoned, answered, BREAKER, type Breaker, CLOSED, enter, failed, type Probe, waitsUntilMs } from './breaker.ts'

type Act = { readonly kind: 'enter' | 'answered' | 'failed' | 'abandoned'; readonly which: number; readonly afterMs: number }
const acts = (leastMs: number): fc.Arbitrary<Act[]> =>
  fc.array(
    fc.record({
      kind: fc.constantFrom('enter', 'enter', 'failed', 'failed', 'answered', 'abandoned'),
      which: fc.nat(10),
      afterMs: fc.oneof(fc.integer({ min: leastMs, max: 2_000 }), fc.integer({ min: leastMs, max: 100_000 })),
    }),
    { maxLength: 200 },
  )

/** Plays the acts; `look` sees each with what was before and after. */
function play(
  all: readonly Act[],
  look: (seen: { act: Act; before: Breaker; after: Breaker; entered: boolean; nowMs: number }) => void,
): { breaker: Breaker; nowMs: number } {
  let breaker = CLOSED
  let nowMs = 1_000_000_000
  let probes = 0
  const calls: Probe[] = []
  for (const act of all) {
    nowMs += act.afterMs
    const before = breaker
    let entered = false
    if (act.kind === 'enter') {
      const let_in = enter(breaker, nowMs, ++probes)
      if (let_in) {
        calls.push(let_in.probe)
        breaker = let_in.breaker
        entered = true
      }
    } else if (calls.length > 0) {
      const [probe = null] = calls.splice(act.which % calls.length, 1)
      breaker = act.kind === 'answered' ? answered() : act.kind === 'failed' ? failed(breaker, nowMs, probe) : abandoned(breaker, nowMs, probe)
    } else continue
    look({ act, before, after: breaker, entered, nowMs })
  }
  return { breaker, nowMs }
}

describe('the breaker', () => {
  it('opens at the third failure in a row, and never sooner', () => {
    fc.assert(
      fc.property(acts(0), (all) => {
        let inARow = 0
        play(all, ({ act, before, after }) => {
          if (act.kind === 'answered') inARow = 0
          if (act.kind === 'failed') inARow++
          if (before.state === 'closed' && act.kind !== 'enter')
            assert.equal(after.state, act.kind === 'failed' && inARow >= BREAKER.failures ? 'open' : 'closed')
        })
      }),
    )
  })

  it('lets nobody in while it is open, and one at a time while it tries', () => {
    fc.assert(
      fc.property(acts(0), (all) => {
        let tryingUntilMs = 0
        play(all, ({ act, before, after, entered, nowMs }) => {
          if (act.kind !== 'enter') {
            if (after.state !== 'half-open') tryingUntilMs = 0
            return
          }
          if (before.state === 'closed') assert.ok(entered)
          else if (before.state === 'open') assert.equal(entered, nowMs >= before.retryAtMs)
          else assert.equal(entered, nowMs >= tryingUntilMs)
          if (entered && after.state === 'half-open') tryingUntilMs = nowMs + BREAKER.probeMs
        })
      }),
    )
  })

  it('closes at any answer, whoever got it', () => {
    fc.assert(
      fc.property(acts(-5_000), (all) => {
        play(all, ({ act, after }) => {
          if (act.kind === 'answered') assert.deepEqual(after, CLOSED)
        })
      }),
    )
  })

  it('lets somebody in again within its longest pause, also when the clock is set back', () => {
    fc.assert(
      fc.property(acts(-3_600_000), fc.integer({ min: -7_200_000, max: 0 }), (all, jumpMs) => {
        const { breaker, nowMs } = play(all, () => undefined)
        const laterMs = nowMs + jumpMs
        const untilMs = waitsUntilMs(breaker, laterMs) ?? laterMs
        assert.ok(untilMs - laterMs <= BREAKER.mostPauseMs)
        assert.ok(enter(breaker, untilMs, 1_000_000))
      }),
    )
  })

  it('remembers since when nothing was answered, and pauses longer after each try that fails', () => {
    let breaker = [10, 20, 30].reduce((state, atMs) => failed(state, atMs, null), CLOSED)
    assert.deepEqual(breaker, { state: 'open', sinceMs: 10, failedProbes: 0, retryAtMs: 5_030 })
    const pauses: number[] = []
    for (let probe = 1; probe <= 6; probe++) {
      const nowMs = waitsUntilMs(breaker, 0) ?? (breaker.state === 'open' ? breaker.retryAtMs : 0)
      breaker = failed(enter(breaker, nowMs, probe)?.breaker ?? CLOSED, nowMs, probe)
      assert.ok(breaker.state === 'open' && breaker.sinceMs === 10)
      pauses.push(breaker.retryAtMs - nowMs)
    }
    assert.deepEqual(pauses, [10_000, 20_000, 40_000, 60_000, 60_000, 60_000])
  })
})
