/** Money cannot be overspent: 64 spenders on one budget through a gateway that is killed, clients that leave and a provider that fails, with the provider's own bill as the witness. */
import assert from 'node:assert/strict'
import { after, before, describe, it, type TestContext } from 'node:test'
import { faultsAtRest, type Rest, readRest } from './overspend/at-rest.ts'
import { GatewayUnderFire } from './overspend/gateway-under-fire.ts'
import { faultsOf, faultsUnderWay } from './overspend/invariants.ts'
import { type Party, startParty } from './overspend/party.ts'
import type { Bill } from './overspend/provider-bill.ts'
import { type Outcome, type Race, spend } from './overspend/spenders.ts'
import { Watcher } from './overspend/watcher.ts'
import { makeWorld, type World } from './overspend/world.ts'
import { between, generator } from './support/chance.ts'
import { seeds } from './support/seeds.ts'

const SPENDERS = 64
const CALLS = Number(process.env['AUTOVIBE_RACE_CALLS'] ?? 10_000)
const KILLS = Math.max(2, Math.round(CALLS / 1000))
/** Whatever happens is drawn from it, so that a failure can be looked for again. */
const SEED = seeds(1).first

let provider: Party
let world: World
let rest: Rest

before(async () => {
  provider = startParty(new URL('./overspend/provider-process.ts', import.meta.url), { seed: SEED })
  world = await makeWorld(String(await provider.told('listens')))
})
after(async () => {
  await provider.kill()
  await world.remove()
})

describe('money that 64 spenders share', () => {
  it(`is never overspent in ${CALLS} calls with ${KILLS} kills of the gateway, by one nano-US-dollar or at any moment`, async (t) => {
    t.diagnostic(`AUTOVIBE_RACE_CALLS=${CALLS} npm run soak -- overspend --seeds 1 --from ${SEED}`)
    const { gateway, watcher, outcomes } = await race()
    const lastGeneration = gateway.generation
    await gateway.end()
    // Whoever comes next settles what the dead have left.
    const heir = new GatewayUnderFire(configOf(world), () => 1)
    await heir.ready
    await heir.end()
    rest = { ...(await readRest(world)), bills: await provider.ask<Bill[]>('bills'), outcomes, lastGeneration }
    tellWhatHappened(t, gateway, watcher)
    assert.deepEqual([...watcher.faults, ...gateway.faults, ...heir.faults].slice(0, 20), [])
    assert.deepEqual(faultsAtRest(rest).slice(0, 20), [])
    // The race was one: the money was short, the gateway died with calls under way, and most calls ended well all the same.
    assert.ok(watcher.seenUnderWay > 0 && gateway.kills >= KILLS && rest.usage.some((row) => row.lost))
    assert.ok(outcomes.some(({ status }) => status === 402) && outcomes.some(({ clamped }) => clamped))
    assert.ok(outcomes.filter(({ status, ended }) => status === 200 && ended).length > CALLS / 2)
  })

  it('would be seen to be overspent by one nano-US-dollar', () => {
    const [root] = rest.budgets
    assert.ok(root)
    const billed = (nanoUsd: bigint) => faultsOf([{ ...root, scope: 'run' }], new Map([[root.scope_id, nanoUsd]]))
    assert.deepEqual(billed(root.settled), [])
    assert.equal(billed(root.settled + 1n).length, 1)
    assert.equal(billed(root.limit + 1n).length, 2)
    const held = [{ ...root, scope: 'run' as const, reserved: 5n }]
    assert.deepEqual(faultsUnderWay(held, [{ runId: root.scope_id, nanoUsd: 5n }]), [])
    assert.equal(faultsUnderWay(held, [{ runId: root.scope_id, nanoUsd: 6n }]).length, 1)
    assert.equal(faultsOf([{ ...root, reserved: root.limit - root.settled + 1n }], new Map()).length, 1)

    const exact = rest.bills.findIndex((bill) => bill.exact && rest.usage.some((row) => row.message_id === bill.messageId))
    const withOneMore = rest.bills.map((bill, index) => (index === exact ? { ...bill, nanoUsd: bill.nanoUsd + 1n } : bill))
    assert.notEqual(exact, -1)
    assert.ok(faultsAtRest({ ...rest, bills: withOneMore }).length > faultsAtRest(rest).length)
    const withOneLess = rest.budgets.map((budget) => (budget === root ? { ...budget, settled: budget.settled - 1n } : budget))
    assert.ok(faultsAtRest({ ...rest, budgets: withOneLess }).length > faultsAtRest(rest).length)
  })
})

const configOf = ({ address, spots }: World) => ({ address, sockets: spots.map(({ machineId, socketPath }) => ({ machineId, path: socketPath })) })

/** Makes all the calls, with the gateway killed at its moments and everything watched. */
async function race(): Promise<{ gateway: GatewayUnderFire; watcher: Watcher; outcomes: Outcome[] }> {
  const chance = generator(SEED)
  const gateway = new GatewayUnderFire(configOf(world), chance)
  const watcher = new Watcher({
    bill: () => provider.ask('soFar'),
    gateway: () => (gateway.isUp ? gateway.generation : null),
    budgets: world.budgets,
    raise: (raise) => gateway.ask('raise', raise),
    chance: generator(SEED + 1),
  })
  const part = Math.floor(CALLS / KILLS)
  const kills = new Set(Array.from({ length: KILLS }, (_, index) => between(chance, index * part + 1, (index + 1) * part - 1)))
  const strikes: Promise<void>[] = []
  const outcomes: Outcome[] = []
  let calls = 0
  const spenders: Race = {
    seed: SEED,
    next() {
      if (calls >= CALLS || watcher.faults.length > 0 || gateway.faults.length > 0) return undefined
      if (kills.has(calls)) strikes.push(gateway.strike())
      return calls++
    },
    gateway: async () => {
      await gateway.ready
      return gateway.generation
    },
    raised: () => watcher.look(),
  }
  await gateway.ready
  const watching = watcher.watch()
  await watcher.look()
  await Promise.all(Array.from({ length: SPENDERS }, (_, index) => spend(spenders, atOf(world.spots, index), outcomes)))
  await Promise.all(strikes)
  watcher.stop()
  await watching
  return { gateway, watcher, outcomes }
}

function atOf<T>(list: readonly T[], index: number): T {
  const item = list[index % list.length]
  if (item === undefined) throw new RangeError('an empty list')
  return item
}

function tellWhatHappened(t: TestContext, gateway: GatewayUnderFire, watcher: Watcher): void {
  const [root] = rest.budgets
  const billed = rest.bills.reduce((sum, bill) => sum + bill.nanoUsd, 0n)
  const statuses = Map.groupBy(rest.outcomes, ({ status, ended }) => (status === null ? 'no answer' : ended ? `${status}` : `${status} broken off`))
  t.diagnostic(
    `answers: ${[...statuses]
      .map(([status, list]) => `${list.length} × ${status}`)
      .sort()
      .join(', ')}; ${rest.outcomes.filter(({ clamped }) => clamped).length} clamped`,
  )
  t.diagnostic(`${rest.bills.length} calls billed at ${billed}, settled at ${root?.settled} within a limit of ${root?.limit} nano-US-dollars`)
  t.diagnostic(
    `${gateway.kills} kills, ${rest.usage.filter(({ lost }) => lost).length} holds of the dead settled at their bound, ${watcher.looks} looks at the books, ${watcher.seenUnderWay} at calls under way`,
  )
}
