/** A ledger on a real database, with a clock that the test moves, scenes of budgets in it, and the proof that its rows add up. */
import assert from 'node:assert/strict'
import { AutovibeError, type BudgetId, type ProjectId, type RunId } from '@autovibe/contract'
import { sql } from 'kysely'
import { freshDatabase } from '../database/testing.ts'
import { type Runtime, systemRuntime } from '../runtime.ts'
import { createLedger } from './create-ledger.ts'
import type { Consumption } from './ledger.ts'

export const MINUTE_MS = 60_000

export interface Scene {
  readonly projectId: ProjectId
  readonly runId: RunId
  readonly organisation: BudgetId
  readonly project: BudgetId
  readonly run: BudgetId
}

/** Opens a ledger of its own for a file of tests; closing its database is up to the caller. */
export async function openTestLedger() {
  let clockMs = Date.parse('2026-11-01T00:00:00Z')
  const runtime: Runtime = { ...systemRuntime, now: () => new Date(clockMs) }
  const database = await freshDatabase()
  const ledger = createLedger({ db: database.db, runtime })

  /** A project with a machine and a run, each with a budget of the given limit. */
  async function scene(limits: { organisation: bigint; project: bigint; run: bigint }): Promise<Scene> {
    const projectId = runtime.newId('project')
    const machineId = runtime.newId('machine')
    const runId = runtime.newId('run')
    const at = runtime.now()
    await database.db
      .insertInto('projects')
      .values({ id: projectId, name: projectId.replace('_', '-').slice(0, 40), source_sha256: null, created_at: at })
      .execute()
    await sql`insert into machines (id, name, project_id, state, created_at) values (${machineId}, ${machineId}, ${projectId}, 'running', ${at})`.execute(
      database.db,
    )
    await sql`insert into runs (id, project_id, machine_id, prompt, agent, provider, model, state, created_at)
      values (${runId}, ${projectId}, ${machineId}, 'p', 'builtin', 'anthropic', 'claude-opus-5-5', 'running', ${at})`.execute(database.db)
    return database.db.transaction().execute(async (tx) => {
      // A root of its own for each scene, so that tests do not share one.
      const organisation = await ledger.openBudget(tx, {
        scope: 'organisation',
        scopeId: runtime.newId('budget'),
        parentId: null,
        resource: 'money',
        limit: limits.organisation,
      })
      const project = await ledger.openBudget(tx, { scope: 'project', scopeId: projectId, parentId: organisation, resource: 'money', limit: limits.project })
      const run = await ledger.openBudget(tx, { scope: 'run', scopeId: runId, parentId: project, resource: 'money', limit: limits.run })
      return { projectId, runId, organisation, project, run }
    })
  }

  let keys = 0
  const hold = (budgetId: BudgetId, amount: bigint, key = `key ${keys++}`, leaseMs = MINUTE_MS) =>
    ledger.reserve({ key, budgetId, amount, holder: 'test', leaseMs })
  const balances = (ids: BudgetId[]) =>
    database.db.selectFrom('budgets').select(['id', 'limit', 'settled', 'reserved', 'version']).where('id', 'in', ids).orderBy('id').execute()
  const eventsOf = async (budgetId: BudgetId, type: string) =>
    (await database.db.selectFrom('events').select('data').where('type', '=', type).orderBy('seq').execute())
      .map((row) => row.data)
      .filter((data) => data['budget_id'] === budgetId)

  /** Recomputes every balance of a scene from its ledger rows. */
  async function assertBalanced(at: Scene): Promise<void> {
    for (const row of await balances([at.organisation, at.project, at.run])) {
      const { rows } = await sql<{ reserved: bigint; settled: bigint; open: bigint }>`
        select coalesce(sum(reserved_delta), 0)::bigint as reserved, coalesce(sum(settled_delta), 0)::bigint as settled,
          (select coalesce(sum(amount), 0)::bigint from reservations where state = 'open' and id in (select reservation_id from ledger_entries where budget_id = ${row.id})) as open
        from ledger_entries where budget_id = ${row.id}`.execute(database.db)
      assert.deepEqual({ reserved: row.reserved, settled: row.settled, open: row.reserved }, rows[0])
    }
  }

  const advance = (ms: number): void => {
    clockMs += ms
  }
  return { database, runtime, ledger, scene, hold, balances, eventsOf, assertBalanced, advance }
}

export const spend = (at: Scene, amount: bigint): Consumption => ({
  projectId: at.projectId,
  machineId: null,
  runId: at.runId,
  resource: 'money',
  amount,
  quality: 'measured',
  cost: amount,
})

export const withCode = (code: string) => (error: unknown) => error instanceof AutovibeError && error.code === code
