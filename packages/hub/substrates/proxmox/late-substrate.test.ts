/** A cluster that does not answer at the start of its Hub: what is said, what waits, what is refused, and when it is asked again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AutovibeError, MachineId } from '@autovibe/contract'
import type { FailureKind } from '@autovibe/core/proxmox/failures.ts'
import { systemRuntime } from '../../runtime.ts'
import type { Substrate } from '../substrate.ts'
import type { Clock } from './client/clock.ts'
import { errorOf } from './client/errors.ts'
import { assumedCapabilities } from './create-proxmox-substrate.ts'
import { LateSubstrate } from './late-substrate.ts'

const NEVER = new AbortController().signal
const LIMITS = { cores: 2, memory_bytes: 2 ** 32, processes: 2048, disk_bytes: 2 ** 34, wall_seconds: 86_400 }
const failure = (kind: FailureKind) => errorOf({ kind, words: `words of ${kind}`, errors: {} }, 'GET /version', false)
const MACHINE: MachineId = systemRuntime.newId('machine')

/** Time that goes on when the test says so. */
class OwnClock implements Clock {
  readonly pauses = new Set<{ readonly ms: number; end(): void }>()
  #now = Date.UTC(2026, 0, 1)
  nowMs = (): number => this.#now
  chance = (): number => 0.999
  skip(ms: number): void {
    this.#now += ms
  }
  async pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const pause = { ms, end: resolve }
    this.pauses.add(pause)
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
    await promise.finally(() => this.pauses.delete(pause))
  }
  /** Ends the pause that is as long as `of` says; waits until there is one. */
  async pass(of: (ms: number) => boolean): Promise<number> {
    for (let looks = 0; looks < 1_000; looks++) {
      const found = [...this.pauses].find(({ ms }) => of(ms))
      if (found !== undefined) {
        this.#now += found.ms
        this.pauses.delete(found)
        found.end()
        return found.ms
      }
      await new Promise(setImmediate)
    }
    throw new Error(`nobody waits so long: ${[...this.pauses].map(({ ms }) => ms).join(', ')}`)
  }
}

const isNext = (ms: number): boolean => ms !== 5_000

function ground(known: readonly MachineId[] = []) {
  const clock = new OwnClock()
  const state = {
    answers: failure('not sent') as AutovibeError | 'silence' | null,
    listFails: null as Error | null,
    startFails: null as Error | null,
    asked: 0,
    looked: 0,
    closed: 0,
    version: '1',
  }
  const calls: string[] = []
  const forgotten: MachineId[] = []
  const logged: string[] = []
  const driver = {
    name: 'proxmox',
    capabilities: () => ({ ...assumedCapabilities(LIMITS), summary: 'of the cluster' }),
    findings: () => [],
    start: async (id: MachineId) => {
      if (state.startFails !== null) throw state.startFails
      calls.push(`start ${id}`)
    },
    destroy: async (id: MachineId) => void calls.push(`destroy ${id}`),
    list: async () => {
      state.looked += 1
      if (state.listFails !== null) throw state.listFails
      return []
    },
  } as unknown as Substrate
  const substrate = new LateSubstrate({
    cluster: 'lab',
    assumed: assumedCapabilities(LIMITS),
    open: async (signal) => {
      state.asked += 1
      if (state.answers === 'silence')
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }))
      if (state.answers !== null) throw state.answers
      const close = async (): Promise<void> => {
        state.closed += 1
      }
      return { substrate: driver, close }
    },
    settingsVersion: async () => state.version,
    wasAskedFor: async (id) => known.includes(id),
    forget: async (id) => void forgotten.push(id),
    clock,
    logger: { info: (_fields, message) => logged.push(message), warn: (_fields, message) => logged.push(message) },
  })
  return { clock, state, calls, forgotten, logged, substrate }
}

test('a cluster that answers is taken up at the start', async () => {
  const { substrate, state, clock } = ground()
  state.answers = null
  await substrate.begin()
  assert.deepEqual([substrate.capabilities().summary, substrate.trouble(), substrate.findings()], ['of the cluster', null, []])
  assert.deepEqual(await substrate.list(NEVER), [])
  await substrate.close()
  assert.deepEqual([state.closed, clock.pauses.size], [1, 0])
})

test('one that does not is told since when, why and what to do, its machines are unknown, and it is taken up when it answers', async () => {
  const { substrate, state, clock, logged } = ground()
  await substrate.begin()
  const trouble = substrate.trouble()
  assert.match(trouble?.detail ?? '', /^The cluster lab does not answer since 2026-01-01T00:00:00\.000Z: Proxmox: words of not sent/)
  assert.deepEqual([trouble?.status, trouble?.fix], ['failed', 'See whether the node is up and pveproxy runs on it: systemctl status pveproxy.'])
  assert.deepEqual(substrate.findings(), [trouble])
  await assert.rejects(substrate.list(NEVER), { code: 'substrate.away', retryable: true })
  assert.equal(await substrate.measure(MACHINE, NEVER), null)
  assert.deepEqual(substrate.capabilities().defaultLimits, LIMITS)
  const waits: number[] = []
  for (let round = 0; round < 6; round++) {
    waits.push(await clock.pass(isNext))
    while (state.asked < round + 2) await new Promise(setImmediate)
  }
  assert.ok(
    waits.every((ms, at) => ms <= 15_000 && (at === 0 || ms >= (waits[at - 1] ?? 0))),
    String(waits),
  )
  assert.match(substrate.trouble()?.detail ?? '', /since 2026-01-01T00:00:00\.000Z/)
  state.answers = null
  await clock.pass(isNext)
  while (substrate.trouble() !== null) await new Promise(setImmediate)
  assert.deepEqual(await substrate.list(NEVER), [])
  assert.deepEqual(logged, ['the cluster cannot be worked with', 'the cluster answers'])
  await substrate.close()
})

test('what is under way is refused as what may be asked for however often, and goes on when it is taken up', async () => {
  const { substrate, state, clock, calls } = ground([MACHINE])
  await substrate.begin()
  await assert.rejects(substrate.start(MACHINE, NEVER), { code: 'substrate.away', retryable: true })
  await assert.rejects(substrate.destroy(MACHINE, NEVER), { code: 'substrate.away', retryable: true })
  state.answers = null
  await clock.pass(isNext)
  while (substrate.trouble() !== null) await new Promise(setImmediate)
  await substrate.destroy(MACHINE, NEVER)
  assert.deepEqual(calls, [`destroy ${MACHINE}`])
  await substrate.close()
})

test('a call that no node has begun to carry out was not made, and any other failure stays what it is', async () => {
  const { substrate, state } = ground([MACHINE])
  state.answers = null
  await substrate.begin()
  for (const kind of ['not sent', 'wrong certificate', 'credentials'] as const) {
    state.startFails = failure(kind)
    await assert.rejects(substrate.start(MACHINE, NEVER), { code: 'substrate.away' })
    assert.equal(substrate.trouble()?.status, 'failed')
  }
  for (const kind of ['unanswered', 'node unreachable', 'failed'] as const) {
    state.startFails = failure(kind)
    await assert.rejects(substrate.start(MACHINE, NEVER), state.startFails)
  }
  await substrate.close()
})

test('a token that was refused later is asked for again with the one that a person gave instead', async () => {
  const { substrate, state } = ground([MACHINE])
  state.answers = null
  await substrate.begin()
  state.listFails = failure('credentials')
  await assert.rejects(substrate.list(NEVER), { code: 'substrate.away' })
  await assert.rejects(substrate.list(NEVER), { code: 'substrate.away' })
  assert.deepEqual([state.asked, state.closed], [1, 0])
  state.version = '2'
  state.listFails = null
  await assert.rejects(substrate.list(NEVER), { code: 'substrate.away' })
  while (substrate.trouble() !== null) await new Promise(setImmediate)
  assert.deepEqual([state.asked, state.closed], [2, 1])
  assert.deepEqual(await substrate.list(NEVER), [])
  await substrate.close()
})

test('what fails in the Hub itself on the way to its cluster may pass by itself', async () => {
  const { substrate, state } = ground([MACHINE])
  state.answers = new TypeError('of our own') as never
  await substrate.begin()
  await assert.rejects(substrate.start(MACHINE, NEVER), { code: 'substrate.away', retryable: true })
  assert.match(substrate.trouble()?.detail ?? '', /The Hub could not look up how it is reached/)
  await substrate.close()
})

test('a machine that the cluster was never asked for is given up without it', async () => {
  const { substrate, forgotten, clock } = ground()
  await substrate.begin()
  await substrate.stop(MACHINE, NEVER)
  await substrate.destroy(MACHINE, NEVER)
  assert.deepEqual(forgotten, [MACHINE])
  await substrate.close()
  assert.equal(clock.pauses.size, 0)
})

for (const kind of ['credentials', 'wrong certificate', 'forbidden'] as const)
  test(`what a person must mend is asked for seldom, refuses at once, and is asked for at once when the settings change: ${kind}`, async () => {
    const { substrate, state, clock } = ground([MACHINE])
    state.answers = failure(kind)
    await substrate.begin()
    assert.match(substrate.trouble()?.detail ?? '', /^The cluster lab cannot be worked with since/)
    assert.ok(substrate.trouble()?.fix)
    await assert.rejects(substrate.start(MACHINE, NEVER), { code: 'substrate.away', retryable: false })
    const beganMs = clock.nowMs()
    while (state.asked < 4) {
      await clock.pass(isNext)
      await new Promise(setImmediate)
    }
    assert.ok(clock.nowMs() - beganMs >= 3 * 30_000)
    assert.equal(state.asked, 4)
    state.answers = null
    state.version = '2'
    await clock.pass(isNext)
    while (substrate.trouble() !== null) await new Promise(setImmediate)
    assert.equal(state.asked, 5)
    await substrate.close()
  })

test('silence holds nobody up', async () => {
  const { substrate, state, clock } = ground()
  state.answers = 'silence'
  const begun = substrate.begin()
  await clock.pass((ms) => ms === 5_000)
  await begun
  assert.match(substrate.trouble()?.detail ?? '', /Nothing answered in time/)
  await substrate.close()
  assert.equal(clock.pauses.size, 0)
})

test('a cluster that falls silent later is told of until it answers again', async () => {
  const { substrate, state, clock } = ground()
  state.answers = null
  await substrate.begin()
  state.listFails = new DOMException('late', 'TimeoutError')
  await assert.rejects(substrate.list(NEVER), { code: 'substrate.away' })
  assert.equal(substrate.trouble()?.name, 'lab')
  state.listFails = null
  await substrate.list(NEVER)
  assert.equal(substrate.trouble(), null)
  // A token that was taken away is not tried at each look.
  state.listFails = failure('credentials')
  state.looked = 0
  for (let look = 0; look < 5; look++) await assert.rejects(substrate.list(NEVER), { code: 'substrate.away', retryable: false })
  assert.equal(state.looked, 1)
  state.listFails = null
  clock.skip(60_000)
  await substrate.list(NEVER)
  assert.equal(substrate.trouble(), null)
  // What fails inside the Hub is not the cluster's.
  state.listFails = new TypeError('of our own')
  await assert.rejects(substrate.list(NEVER), TypeError)
  assert.equal(substrate.trouble(), null)
  await substrate.close()
})
