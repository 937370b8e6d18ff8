/** The audit against a real PostgreSQL: silent over a sound ledger that is in use, and loud over each kind of damage. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import type { AuditCheck } from '@autovibe/contract'
import { MINUTE_MS, openTestLedger, spend } from './testing.ts'

const { database, runtime, ledger, scene, hold, assertBalanced, openCap, change, advance } = await openTestLedger()
const { pool, db } = database
after(() => database.close())

const DAY_MS = 24 * 60 * MINUTE_MS

/** A ledger that has seen all that may happen to one. */
async function busyScene() {
  const at = await scene({ organisation: 100_000n, project: 100_000n, run: 100_000n })
  const open = await hold(at.run, 70n, undefined, 100 * DAY_MS)
  const settled = await hold(at.run, 100n)
  const usageId = await ledger.settle(settled.id, spend(at, 60n))
  const released = await hold(at.run, 50n)
  await ledger.release(released.id)
  await ledger.charge(`charge ${at.run}`, spend(at, 30n), at.run)
  const daily = await openCap(at.project, { period: 'daily', limit: 50_000n })
  await ledger.settle((await hold(at.run, 20n)).id, spend(at, 25n))
  await change(at.run, { limit: 100_000n })
  await hold(at.run, 10n)
  advance(DAY_MS)
  await ledger.expire(1_000)
  await ledger.rollOver(1_000)
  await ledger.settle((await hold(at.run, 20n)).id, spend(at, 20n))
  return { at, open, settled, usageId, released, daily }
}

describe('the audit of the ledger', () => {
  it('finds nothing in a ledger that has seen everything, and tells of nothing', async () => {
    const { at, daily } = await busyScene()
    const audit = await ledger.audit()
    assert.deepEqual([audit.findings, audit.is_complete], [[], true])
    assert.ok(audit.checked.budgets >= 4 && audit.checked.reservations >= 7 && audit.checked.entries >= 12 && audit.checked.usage_events >= 5)
    assert.deepEqual(await db.selectFrom('events').select('id').where('type', '=', 'budget.audit_failed').execute(), [])
    await assertBalanced(at, daily)
  })

  it('finds nothing while the ledger is written to, since it sees one moment', async () => {
    const { at } = await busyScene()
    let audited = 0
    let done = false
    const auditing = (async () => {
      while (!done) {
        assert.deepEqual((await ledger.audit()).findings, [])
        audited++
      }
    })()
    const work = async () => {
      for (let calls = 0; calls < 40; calls++) {
        const { id } = await hold(at.run, 10n)
        if (calls % 3 === 0) await ledger.release(id)
        else await ledger.settle(id, spend(at, 7n))
      }
    }
    await Promise.all(Array.from({ length: 8 }, work)).finally(() => {
      done = true
    })
    await auditing
    assert.ok(audited > 1)
  })

  const damages: Record<
    string,
    { check: AuditCheck; plant(scene: Awaited<ReturnType<typeof busyScene>>): Promise<{ subject: string; undo(): Promise<unknown> }> }
  > = {
    'a balance that nobody moved': {
      check: 'balance',
      plant: async ({ daily }) => bump('budgets', 'settled', daily),
    },
    'a reserved sum that no open reservation explains': {
      check: 'balance',
      plant: async ({ at }) => bump('budgets', 'reserved', at.organisation),
    },
    'an entry that was changed': {
      check: 'balance',
      plant: async ({ at, settled }) => {
        await pool.query(`update ledger_entries set settled_delta = settled_delta + 1 where reservation_id = $1 and kind = 'settle'`, [settled.id])
        return {
          subject: at.run,
          undo: () => pool.query(`update ledger_entries set settled_delta = settled_delta - 1 where reservation_id = $1 and kind = 'settle'`, [settled.id]),
        }
      },
    },
    'a rollover that is gone': {
      check: 'balance',
      plant: async ({ daily }) => {
        const { rows } = await pool.query(`delete from ledger_entries where budget_id = $1 and kind = 'rollover' returning *`, [daily])
        return { subject: daily, undo: () => restore('ledger_entries', rows[0]) }
      },
    },
    'a settlement that was entered twice': {
      check: 'reservation',
      plant: async ({ settled }) => {
        const { rows } = await pool.query(
          `insert into ledger_entries (budget_id, reservation_id, usage_event_id, kind, reserved_delta, settled_delta, at)
           select budget_id, reservation_id, usage_event_id, kind, 0, 0, at from ledger_entries where reservation_id = $1 and kind = 'settle' returning seq`,
          [settled.id],
        )
        return { subject: settled.id, undo: () => pool.query('delete from ledger_entries where seq = $1', [rows[0].seq]) }
      },
    },
    'a reservation that was reopened': {
      check: 'reservation',
      plant: async ({ released }) => {
        await pool.query(`update reservations set state = 'open', ended_at = null where id = $1`, [released.id])
        return { subject: released.id, undo: () => pool.query(`update reservations set state = 'released', ended_at = now() where id = $1`, [released.id]) }
      },
    },
    'an amount of an open reservation that was changed': {
      check: 'reservation',
      plant: async ({ open }) => bump('reservations', 'amount', open.id),
    },
    'a usage event that says another amount': {
      check: 'usage',
      plant: async ({ settled, usageId }) => ({ ...(await bump('usage_events', 'amount', usageId)), subject: settled.id }),
    },
    'a usage event that is gone': {
      check: 'usage',
      plant: async ({ settled, usageId }) => {
        const { rows } = await pool.query('delete from usage_events where id = $1 returning *', [usageId])
        return { subject: settled.id, undo: () => restore('usage_events', rows[0]) }
      },
    },
    'a usage event that no settlement names': {
      check: 'usage',
      plant: async ({ at, open }) => {
        const id = runtime.newId('usageEvent')
        await pool.query(
          `insert into usage_events (id, project_id, resource, amount, quality, cost, reservation_id, at) values ($1, $2, 'money', 5, 'measured', 5, $3, now())`,
          [id, at.projectId, open.id],
        )
        return { subject: id, undo: () => pool.query('delete from usage_events where id = $1', [id]) }
      },
    },
    'a usage event of a run that does not exist': {
      check: 'reference',
      plant: async ({ at, usageId }) => {
        await pool.query('update usage_events set run_id = $1 where id = $2', [runtime.newId('run'), usageId])
        return { subject: usageId, undo: () => pool.query('update usage_events set run_id = $1 where id = $2', [at.runId, usageId]) }
      },
    },
    'a reservation on a budget that does not exist': {
      check: 'reference',
      plant: async ({ open }) => {
        await pool.query('update reservations set budget_ids = budget_ids || $1::text where id = $2', [runtime.newId('budget'), open.id])
        return { subject: open.id, undo: () => pool.query('update reservations set budget_ids = trim_array(budget_ids, 1) where id = $1', [open.id]) }
      },
    },
    'an entry of a reservation that does not exist': {
      check: 'reference',
      plant: async ({ released }) => {
        const { rows } = await pool.query(`update ledger_entries set reservation_id = $1 where reservation_id = $2 and kind = 'release' returning seq`, [
          runtime.newId('reservation'),
          released.id,
        ])
        return {
          subject: String(rows[0].seq),
          undo: () => pool.query('update ledger_entries set reservation_id = $1 where seq = $2', [released.id, rows[0].seq]),
        }
      },
    },
    'a budget of a project that does not exist': {
      check: 'reference',
      plant: async ({ at }) => {
        await pool.query('update budgets set scope_id = $1 where id = $2', [runtime.newId('run'), at.run])
        return { subject: at.run, undo: () => pool.query('update budgets set scope_id = $1 where id = $2', [at.runId, at.run]) }
      },
    },
    'a chain that narrows on its way up': {
      check: 'chain',
      plant: async ({ at }) => {
        await pool.query('update budgets set parent_id = $1 where id = $2', [at.run, at.organisation])
        return { subject: at.organisation, undo: () => pool.query('update budgets set parent_id = null where id = $1', [at.organisation]) }
      },
    },
    'a chain that goes round in a circle': {
      check: 'chain',
      plant: async ({ at, daily }) => {
        await pool.query('update budgets set parent_id = $1 where id = $2', [at.project, daily])
        return { subject: daily, undo: () => pool.query('update budgets set parent_id = $1 where id = $2', [at.organisation, daily]) }
      },
    },
  }
  for (const [damage, { check, plant }] of Object.entries(damages)) {
    it(`finds ${damage}, and nothing more once it is mended`, async () => {
      const { subject, undo } = await plant(await busyScene())
      const { findings } = await ledger.audit()
      assert.ok(
        findings.some((finding) => finding.check === check && finding.subject === subject),
        JSON.stringify(findings, null, 2),
      )
      await undo()
      assert.deepEqual((await ledger.audit()).findings, [])
    })
  }

  it('tells of what it found, and says when there is more than it lists', async () => {
    const before = await db.selectFrom('events').select('id').where('type', '=', 'budget.audit_failed').execute()
    await pool.query(`insert into usage_events (id, project_id, resource, amount, quality, at)
      select 'lost ' || n, 'prj_lost', 'cpu_seconds', 1, 'measured', now() from generate_series(1, 200) n`)
    const audit = await ledger.audit()
    assert.deepEqual([audit.findings.length, audit.is_complete], [100, false])
    const told = await db.selectFrom('events').select('data').where('type', '=', 'budget.audit_failed').orderBy('seq').execute()
    assert.equal(told.length, before.length + 1)
    assert.deepEqual(told.at(-1)?.data, { findings: 100, is_complete: false, first: audit.findings.slice(0, 20) })
    await pool.query(`delete from usage_events where id like 'lost %'`)
  })
})

async function bump(table: string, column: string, id: string) {
  await pool.query(`update ${table} set ${column} = ${column} + 1 where id = $1`, [id])
  return { subject: id, undo: () => pool.query(`update ${table} set ${column} = ${column} - 1 where id = $1`, [id]) }
}

/** Puts a row back that was taken away. */
const restore = (table: string, row: object) =>
  pool.query(`insert into ${table} overriding system value select * from jsonb_populate_record(null::${table}, $1)`, [jsonOf(row)])

const jsonOf = (row: object): string => JSON.stringify(row, (_key, value) => (typeof value === 'bigint' ? value.toString() : value))
