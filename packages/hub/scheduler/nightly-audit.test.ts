import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { MINUTE_MS, openTestLedger, spend } from '../ledger/testing.ts'
import type { EngineLog } from '../operations/engine/context.ts'
import { AUDIT_LOOK_EVERY_MS, nightlyAudit } from './nightly-audit.ts'

const { database, runtime, ledger, scene, hold, advance } = await openTestLedger()
after(() => database.close())

test('the ledger is audited once on each day, again at the next look after a failure, and damage is logged', async () => {
  const lines: string[] = []
  const log: EngineLog = { info: () => lines.push('sound'), warn: () => lines.push('warn'), error: () => lines.push('damaged') }
  let failures = 1
  const failing = {
    audit: async () => {
      if (failures-- > 0) throw new Error('the database is away')
      return ledger.audit()
    },
  }
  const look = nightlyAudit({ ledger: failing, runtime }, log)
  await assert.rejects(look(), /away/)
  const at = await scene({ organisation: 100n, project: 100n, run: 100n })
  await ledger.settle((await hold(at.run, 10n)).id, spend(at, 10n))
  const looksOfADay = (24 * 60 * MINUTE_MS) / AUDIT_LOOK_EVERY_MS
  for (let looks = 0; looks < looksOfADay; looks++, advance(AUDIT_LOOK_EVERY_MS)) await look()
  assert.deepEqual(lines, ['sound'])
  await database.pool.query('update budgets set settled = settled + 1 where id = $1', [at.run])
  await look()
  assert.deepEqual(lines, ['sound', 'damaged'])
})
