/** What a word after `autovibe budget` stands for: one meaning for each, whatever goes on meanwhile. */
import { AutovibeError, type Budget, type BudgetPeriod, type BudgetScope, isId, type Run } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'
import { nearest } from '../render/nearest.ts'
import { resolveMachine } from '../resolve.ts'
import { wholeId } from '../short-ids.ts'

export interface Target {
  readonly kind: BudgetScope
  /** The id of the run, machine or project; `organisation` for the root. */
  readonly id: string
  /** As people call it; of a run, its machine's name. */
  readonly name: string
  /** The run itself, or the one that the machine has not ended yet. */
  readonly run: Run | null
  /** Named by its own id: this budget is meant, and no other one. */
  readonly budget: Budget | null
}

/** A run by its id; a machine by its name or id, and then all that it may spend, its run included; a project; the organisation; or whatever a budget id is of. */
export async function budgetTarget(client: Autovibe, given: string, options: CallOptions): Promise<Target> {
  const [, kind, ref = ''] = /^(?:(project|machine|run):)?(.*)$/s.exec(await wholeId(client, given, options)) ?? []
  if (kind !== undefined) {
    const target = kind === 'project' ? await projectTarget(client, await wholeId(client, ref, options), options) : await budgetTarget(client, ref, options)
    if (target?.kind === kind) return target
    throw new AutovibeError('not_found', `There is no ${kind} ${JSON.stringify(ref)}.`, {
      fix: kind === 'project' ? 'autovibe project list' : 'autovibe ps --all',
    })
  }
  if (ref === 'organisation') return { kind: 'organisation', id: ref, name: ref, run: null, budget: null }
  if (isId('budget', ref)) {
    const budget = await client.budgets.get(ref, options)
    return { ...(await budgetTarget(client, budget.scope_id, options)), budget }
  }
  if (isId('run', ref)) {
    const run = await client.runs.get(ref, options)
    return { kind: 'run', id: run.id, name: run.machine_name, run, budget: null }
  }
  // A machine comes before a project of the same name.
  const machine = isId('project', ref) ? undefined : await unlessMissing(resolveMachine(client, ref, options))
  if (machine) {
    const run = machine.run_id === null ? null : await client.runs.get(machine.run_id, options)
    return { kind: 'machine', id: machine.id, name: machine.name, run: run?.ended_at === null ? run : null, budget: null }
  }
  const project = await projectTarget(client, ref, options)
  if (project) return project
  const isRoot = nearest(ref, ['organisation']) !== undefined
  throw new AutovibeError('not_found', `${JSON.stringify(given)} is no run, machine or project.${isRoot ? ' Did you mean organisation?' : ''}`, {
    fix: isRoot ? 'autovibe budget show organisation' : 'autovibe budget show',
  })
}

async function projectTarget(client: Autovibe, ref: string, options: CallOptions): Promise<Target | undefined> {
  const project = await unlessMissing(client.projects.get(ref, options))
  return project && { kind: 'project', id: project.id, name: project.name, run: null, budget: null }
}

/** Kind, name and id, for people. */
export function inFull({ kind, id, name }: Target): string {
  if (kind === 'organisation') return kind
  return kind === 'run' ? `run ${id} on ${name}` : `${kind} ${name} (${id})`
}

/** How it is named in a command: so that it is found again as the same. */
export const refOf = ({ kind, id, name, budget }: Target): string => budget?.id ?? (kind === 'machine' ? name : id)

type Wanted = Pick<Target, 'kind' | 'id'> & Partial<Target>

/** Those of one scope: the open one first, then closed ones, newest first. */
export async function budgetsOf(client: Autovibe, { kind, id, budget = null }: Wanted, options: CallOptions): Promise<Budget[]> {
  if (budget !== null) return [budget]
  const budgets = await client.budgets.list({ scope: kind, scope_id: id }, options).take(100)
  return [...budgets.filter(({ closed_at }) => closed_at === null), ...budgets.filter(({ closed_at }) => closed_at !== null)]
}

/** The one that is open for money: for as long as its scope lasts, unless a period is named; or the one that was named by its own id. */
export async function openBudgetOf(client: Autovibe, target: Wanted, options: CallOptions, wanted: BudgetPeriod = 'total'): Promise<Budget | undefined> {
  const open = (await budgetsOf(client, target, options)).filter(({ resource, closed_at }) => resource === 'money' && closed_at === null)
  return open.find(({ id, period }) => id === target.budget?.id || period === wanted)
}

async function unlessMissing<T>(promise: Promise<T>): Promise<T | undefined> {
  return promise.catch((thrown: unknown) => {
    if (thrown instanceof AutovibeError && (thrown.code === 'not_found' || thrown.code === 'request.invalid')) return undefined
    throw thrown
  })
}
