/** A ledger on a real database, with a clock that the test moves, scenes of budgets in it, and the proof that its rows add up. */
import assert from 'node:assert/strict'
import { AutovibeError, type BudgetId, type ProjectId, type RunId } from '@autovibe/contract'
import { sql } from 'kysely'
import { freshDatabase } from '../database/testing.ts'
import { type Runtime, systemRuntime } from '../runtime.ts'
import { createLedger } from './create-ledger.ts'
import type { BudgetChange, Consumption, OpenCap, Subject } from './ledger.ts'

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
  const ledger = createLedger({ ...database, runtime })

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
      subjects.set(run, { projectId, machineId: null, runId })
      return { projectId, runId, organisation, project, run }
    })
  }

  const subjects = new Map<BudgetId, Subject>()
  let keys = 0
  const hold = (budgetId: BudgetId, amount: bigint, key = `key ${keys++}`, leaseMs = MINUTE_MS) =>
    ledger.reserve({ key, budgetId, amount, holder: 'test', subject: subjects.get(budgetId) ?? null, leaseMs })
  const balances = (ids: BudgetId[]) =>
    database.db.selectFrom('budgets').select(['id', 'limit', 'settled', 'reserved', 'version']).where('id', 'in', ids).orderBy('id').execute()
  const eventsOf = async (budgetId: BudgetId, type: string) =>
    (await database.db.selectFrom('events').select('data').where('type', '=', type).orderBy('seq').execute())
      .map((row) => row.data)
      .filter((data) => data['budget_id'] === budgetId)

  /** Recomputes every balance of a scene from its ledger rows, and what is reserved from the open holds too. */
  async function assertBalanced(at: Scene, ...caps: BudgetId[]): Promise<void> {
    for (const row of await balances([at.organisation, at.project, at.run, ...caps])) {
      const { rows } = await sql<{ reserved: bigint; settled: bigint; open: bigint }>`
        select coalesce(sum(e.reserved_delta), 0)::bigint as reserved, coalesce(sum(e.settled_delta), 0)::bigint as settled,
          (select coalesce(sum(amount), 0)::bigint from reservations where state = 'open' and ${row.id} = any(budget_ids)) as open
        from ledger_entries e left join reservations r on r.id = e.reservation_id where ${row.id} = any(coalesce(r.budget_ids, array[e.budget_id]))`.execute(
        database.db,
      )
      assert.deepEqual({ reserved: row.reserved, settled: row.settled, open: row.reserved }, rows[0])
    }
  }

  const openCap = (above: BudgetId, cap: OpenCap) => database.db.transaction().execute((tx) => ledger.openCap(tx, above, cap))
  /** Changes a budget as it stands now. */
  const change = (id: BudgetId, what: BudgetChange) =>
    database.db.transaction().execute(async (tx) => {
      const { version } = await tx.selectFrom('budgets').select('version').where('id', '=', id).forNoKeyUpdate().executeTakeFirstOrThrow()
      await ledger.changeBudget(tx, id, what, version)
    })

  const advance = (ms: number): void => {
    clockMs += ms
  }
  return { database, runtime, ledger, scene, hold, balances, eventsOf, assertBalanced, openCap, change, advance }
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
