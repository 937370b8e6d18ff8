/** Where the race is run: one organisation's budget with projects, machines and runs below it, each with a limit of its own, in a real database. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BudgetId, MachineId, RunId } from '@autovibe/contract'
import { freshDatabase } from '../../packages/hub/database/testing.ts'
import { systemRuntime as runtime } from '../../packages/hub/runtime.ts'

const PROJECTS = 2
const MACHINES_PER_PROJECT = 8

/** What one machine spends by. */
export interface Spot {
  readonly machineId: MachineId
  readonly runId: RunId
  readonly token: string
  readonly socketPath: string
}

export interface BudgetRow {
  readonly id: BudgetId
  readonly parent_id: BudgetId | null
  readonly scope: 'organisation' | 'project' | 'machine' | 'run'
  readonly scope_id: string
  readonly limit: bigint
  readonly settled: bigint
  readonly reserved: bigint
  readonly version: bigint
}

/** Makes the rows; every limit is zero until somebody raises it. */
export async function makeWorld(providerUrl: string) {
  const database = await freshDatabase()
  const folder = await mkdtemp(join(tmpdir(), 'avr-'))
  const at = runtime.now()
  const query = async <T>(text: string, values: unknown[] = []): Promise<T[]> => (await database.pool.query(text, values)).rows as T[]
  const open = async (scope: BudgetRow['scope'], scopeId: string, parentId: BudgetId | null): Promise<BudgetId> => {
    const id = runtime.newId('budget')
    await query(`insert into budgets (id, parent_id, scope, scope_id, resource, "limit", created_at) values ($1, $2, $3, $4, 'money', 0, $5)`, [
      id,
      parentId,
      scope,
      scopeId,
      at,
    ])
    return id
  }
  await query(
    `insert into providers (name, wire, base_url, default_model, simulated, key_sealed, updated_at)
      values ('anthropic', 'anthropic', $1, 'claude-opus-5-5', false, $2, $3)`,
    [providerUrl, Buffer.from('a key'), at],
  )
  const organisation = await open('organisation', 'the organisation', null)
  const spots: Spot[] = []
  for (let number = 0; number < PROJECTS; number++) {
    const projectId = runtime.newId('project')
    await query('insert into projects (id, name, created_at) values ($1, $2, $3)', [projectId, `project-${number}`, at])
    const project = await open('project', projectId, organisation)
    for (let count = 0; count < MACHINES_PER_PROJECT; count++) {
      const [machineId, runId] = [runtime.newId('machine'), runtime.newId('run')]
      const token = `the token of ${machineId}`
      await query(`insert into machines (id, name, project_id, state, token_hash, created_at) values ($1, $1, $2, 'running', $3, $4)`, [
        machineId,
        projectId,
        createHash('sha256').update(token).digest('hex'),
        at,
      ])
      const budgetId = await open('run', runId, await open('machine', machineId, project))
      await query(
        `insert into runs (id, project_id, machine_id, prompt, agent, provider, model, state, budget_id, created_at)
          values ($1, $2, $3, 'p', 'builtin', 'anthropic', 'claude-opus-5-5', 'running', $4, $5)`,
        [runId, projectId, machineId, budgetId, at],
      )
      spots.push({ machineId, runId, token, socketPath: join(folder, `${spots.length}.sock`) })
    }
  }
  return {
    query,
    address: database.address,
    spots,
    /** Every budget, from the root to the leaves, as it stands at one moment. */
    budgets: () =>
      query<BudgetRow>(`select id, parent_id, scope, scope_id, "limit", settled, reserved, version from budgets
        order by array_position(array['organisation', 'project', 'machine', 'run'], scope), id`),
    async remove() {
      await database.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
export type World = Awaited<ReturnType<typeof makeWorld>>
