/** What is set aside for handing work back: nothing else can spend it, and nothing of it is lost or spent twice. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { handBackHolder } from './holders.ts'
import { readHandBacks } from './holds.ts'
import { MINUTE_MS, openTestLedger, type Scene, spend, withCode } from './testing.ts'

const { database, ledger, scene, hold, balances, assertBalanced, advance } = await openTestLedger()
const { db } = database
after(() => database.close())

const LIMITS = { organisation: 10_000n, project: 2_000n, run: 1_000n }

const subjectOf = (at: Scene) => ({ projectId: at.projectId, machineId: null, runId: at.runId })
const setAside = (at: Scene, amount: bigint) => db.transaction().execute((tx) => ledger.setAside(tx, { budgetId: at.run, subject: subjectOf(at), amount }))
let keys = 0
const draw = (at: Scene, amount: bigint) =>
  ledger.reserve({
    key: `draw ${keys++}`,
    budgetId: at.run,
    amount,
    holder: 'test',
    subject: subjectOf(at),
    leaseMs: MINUTE_MS,
    handBackOf: at.runId,
  })
const keptOf = async (at: Scene) => (await readHandBacks(db, [at.runId])).get(at.runId)
const kept = async (at: Scene) => (await keptOf(at))?.amount
async function runBalance(at: Scene): Promise<{ settled: bigint; reserved: bigint }> {
  const [row] = await balances([at.run])
  return { settled: row?.settled ?? -1n, reserved: row?.reserved ?? -1n }
}

test('what is set aside is available to nothing else, on any link, and a call that meets it is not told to wait', async () => {
  const at = await scene(LIMITS)
  await setAside(at, 100n)
  assert.deepEqual([await ledger.available(at.run), await ledger.available(at.project)], [900n, 1_900n])
  await hold(at.run, 900n)
  await assert.rejects(hold(at.run, 1n), withCode('budget.exhausted'))
  await assert.rejects(
    hold(at.run, 901n),
    (error: unknown) => withCode('budget.exhausted')(error) && (error as { isHeldByOthers: boolean }).isHeldByOthers === false,
  )
  await assertBalanced(at)
})

test('a limit is met when all but what is set aside is settled', async () => {
  const at = await scene(LIMITS)
  await setAside(at, 100n)
  const all = await hold(at.run, 900n)
  assert.equal((await ledger.standing(at.run)).met, null)
  await ledger.settle(all.id, spend(at, 900n))
  const { met, available, reachedPercent } = await ledger.standing(at.run)
  assert.deepEqual([met?.budgetId, available, reachedPercent], [at.run, 0n, 80])
})

test('a closing call is paid from what is set aside, and what it does not use goes back there', async () => {
  const at = await scene(LIMITS)
  await setAside(at, 100n)
  await ledger.settle((await hold(at.run, 900n)).id, spend(at, 900n))
  const call = await draw(at, 60n)
  assert.equal(await kept(at), 40n)
  await ledger.settle(call.id, spend(at, 25n))
  assert.deepEqual([await kept(at), await ledger.available(at.run), await runBalance(at)], [75n, 0n, { settled: 925n, reserved: 75n }])
  await ledger.release((await draw(at, 75n)).id)
  assert.equal(await kept(at), 75n)
  await assertBalanced(at)
})

test('an agent that goes on calling gets what is set aside and not a nano-dollar more, however many calls it makes at once', async () => {
  const at = await scene(LIMITS)
  await setAside(at, 100n)
  await ledger.settle((await hold(at.run, 900n)).id, spend(at, 900n))
  const calls = await Promise.allSettled(Array.from({ length: 30 }, () => draw(at, 7n)))
  const let_in = calls.flatMap((call) => (call.status === 'fulfilled' ? [call.value] : []))
  assert.equal(let_in.length, 14)
  await Promise.all(let_in.map(({ id }) => ledger.settle(id, spend(at, 7n))))
  await assert.rejects(draw(at, 3n), withCode('budget.insufficient'))
  assert.deepEqual([await kept(at), await runBalance(at)], [2n, { settled: 998n, reserved: 2n }])
  await assertBalanced(at)
})

test('it outlives the Hub that set it aside, however long the run lasts, and a closing call whose Hub died is settled in full', async () => {
  const at = await scene(LIMITS)
  await setAside(at, 100n)
  await draw(at, 60n)
  advance(400 * 24 * 60 * MINUTE_MS)
  await ledger.expire(10)
  assert.deepEqual([await kept(at), await runBalance(at)], [40n, { settled: 60n, reserved: 40n }])
  await assertBalanced(at)
})

test('once it is released, what a closing call did not use is as free as anything else', async () => {
  const at = await scene(LIMITS)
  await setAside(at, 100n)
  const call = await draw(at, 60n)
  const rest = await keptOf(at)
  if (rest) await ledger.release(rest.id)
  await ledger.settle(call.id, spend(at, 10n))
  assert.deepEqual([await kept(at), await ledger.available(at.run), await runBalance(at)], [undefined, 990n, { settled: 10n, reserved: 0n }])
  await assertBalanced(at)
})

test('setting aside again makes up what is missing, from half of what there is, and changes nothing when it is all there', async () => {
  const at = await scene(LIMITS)
  await setAside(at, 100n)
  await setAside(at, 80n)
  await ledger.settle((await draw(at, 70n)).id, spend(at, 70n))
  await setAside(at, 100n)
  assert.deepEqual([await kept(at), await runBalance(at)], [100n, { settled: 70n, reserved: 100n }])
  await hold(at.run, 800n)
  await setAside(at, 500n)
  assert.deepEqual([await kept(at), await ledger.available(at.run)], [115n, 15n])
  await assertBalanced(at)
})

type Act = { readonly kind: 'call' | 'close' | 'aside'; readonly amount: number; readonly used: number }
const act: fc.Arbitrary<Act> = fc.record({
  kind: fc.constantFrom('call' as const, 'close' as const, 'aside' as const),
  amount: fc.integer({ min: 1, max: 300 }),
  used: fc.integer({ min: 0, max: 100 }),
})

test('whatever is called, closed and set aside, the allowance and the rest are the limit, and the ledger agrees with itself', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 12 }), fc.boolean(), async (acts, isAtOnce) => {
      const at = await scene(LIMITS)
      await setAside(at, 100n)
      const perform = async ({ kind, amount, used }: Act): Promise<void> => {
        if (kind === 'aside') return setAside(at, BigInt(amount))
        const held = await (kind === 'call' ? hold(at.run, BigInt(amount)) : draw(at, BigInt(amount))).catch((error: unknown) => {
          if (error instanceof Error && 'code' in error && String(error.code).startsWith('budget.')) return null
          throw error
        })
        if (held) await ledger.settle(held.id, spend(at, (BigInt(amount) * BigInt(used)) / 100n))
      }
      if (isAtOnce) await Promise.all(acts.map(perform))
      else for (const one of acts) await perform(one)
      const { settled, reserved } = await runBalance(at)
      const allowance = (await kept(at)) ?? 0n
      assert.equal(reserved, allowance)
      assert.equal(allowance + settled + (await ledger.available(at.run)), LIMITS.run)
      const open = await db.selectFrom('reservations').select('id').where('holder', '=', handBackHolder(at.runId)).where('state', '=', 'open').execute()
      assert.ok(open.length <= 1)
      await assertBalanced(at)
    }),
    { numRuns: 25 },
  )
  assert.deepEqual((await ledger.audit()).findings, [])
})
