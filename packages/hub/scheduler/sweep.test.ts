/** What the sweep does when it cannot look. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { GRACE_MS, type Suspicions } from '@autovibe/core/reconcile/plan.ts'
import { MINUTE_MS, openTestLedger } from '../ledger/testing.ts'
import { silentLog } from '../operations/engine/testing.ts'
import type { Ports } from '../operations/ports.ts'
import { sweep } from './sweep.ts'

const { database, runtime, ledger, scene, hold, advance } = await openTestLedger()
after(() => database.close())

test('a look that failed says nothing about machines, before or after it, and money does not wait for it', async () => {
  const at = await scene({ organisation: 1_000n, project: 1_000n, run: 1_000n })
  let failure: Error | null = null
  const list = async () => {
    if (failure !== null) throw failure
    return []
  }
  const ports = { db: database.db, runtime, ledger, substrate: { list } } as unknown as Ports
  const look = (suspicions: Suspicions) => sweep(ports, silentLog, suspicions)
  const { suspicions } = await look(new Map())
  assert.equal(suspicions.size, 1)
  const { id } = await hold(at.run, 100n)
  advance(2 * MINUTE_MS)
  let silent: Suspicions = new Map()
  for (const broken of [new AutovibeError('substrate.unavailable', 'The cluster does not answer.'), new DOMException('late', 'TimeoutError')]) {
    failure = broken
    const blind = await look(suspicions)
    assert.deepEqual([[...blind.suspicions.keys()], blind.actions], [[...suspicions.keys()], []])
    silent = blind.suspicions
  }
  const { state } = await database.db.selectFrom('reservations').select('state').where('id', '=', id).executeTakeFirstOrThrow()
  assert.equal(state, 'settled')
  failure = null
  // The time of the silence counts for nothing.
  const after = await look(silent)
  assert.deepEqual(after.actions, [])
  advance(GRACE_MS)
  assert.deepEqual(
    (await look(after.suspicions)).actions.map(({ kind }) => kind),
    ['destroy-machine'],
  )
})
