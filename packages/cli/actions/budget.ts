/** Shows and changes budgets, and reads the ledger. */
import { AutovibeError, type Budget, type BudgetScope, isId } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'
import { readBudget } from '../amounts.ts'
import type { Action } from '../commands/define.ts'
import { amount, renderBudgets } from '../render/resources.ts'
import { table, usd } from '../render/text.ts'
import { resolveMachine } from '../resolve.ts'

export const budgetShow: Action<unknown> = async (context, [ref]) => {
  const client = await context.connect()
  const options = { signal: context.signal }
  const budgets = ref === undefined ? await client.budgets.list({ open: true }, options).take(1000) : await findBudgets(client, ref, options)
  context.out.answer({ budgets }, renderBudgets(budgets, context.out.paint))
  return 0
}

export const budgetSet: Action<unknown> = async (context, [ref = '', limit = '']) => {
  const wanted = readBudget({ value: limit, origin: '--usd' })
  const client = await context.connect()
  const options = { signal: context.signal }
  const budget = (await findBudgets(client, ref, options)).find(({ resource, closed_at }) => resource === 'money' && closed_at === null)
  if (budget === undefined) return createBudget(context, client, ref, wanted)
  const above = await raiseMachine(client, budget, wanted, options)
  const updated = await client.budgets.update(budget, { limit: wanted }, options)
  const { out } = context
  out.answer({ budget: updated, raised_above: above }, [
    ...(above === null ? [] : [`${out.paint.green('✓')} ${above.scope} budget: now ${usd(above.limit)}, so that the run can use its own.`]),
    `${out.paint.green('✓')} ${updated.scope} budget: ${usd(budget.limit)} → ${usd(updated.limit)}; ${usd(updated.settled)} spent, ${usd(updated.available)} left.`,
  ])
  if (BigInt(updated.available) < rest(updated)) out.note('A budget above it allows less: autovibe budget show')
  return 0
}

const rest = (budget: Budget): bigint => BigInt(budget.limit) - BigInt(budget.settled) - BigInt(budget.reserved)

/** A machine is born with the budget of its run; whoever raises the one means the other too, as far as it stands in the way. */
async function raiseMachine(client: Autovibe, budget: Budget, limit: string, options: CallOptions): Promise<Budget | null> {
  if (budget.scope !== 'run' || budget.parent_id === null) return null
  const machine = await client.budgets.get(budget.parent_id, options)
  const missing = BigInt(limit) - BigInt(budget.settled) - BigInt(budget.reserved) - rest(machine)
  if (machine.scope !== 'machine' || machine.closed_at !== null || missing <= 0n) return null
  return client.budgets.update(machine, { limit: (BigInt(machine.limit) + missing).toString() }, options)
}

export const budgetLedger: Action<unknown> = async (context, [ref = '']) => {
  const client = await context.connect()
  const options = { signal: context.signal }
  const [budget] = await findBudgets(client, ref, options)
  if (!budget) throw noBudget(ref)
  const entries = await client.budgets.ledger(budget.id, options).take(10_000)
  const signed = (delta: string) =>
    delta.startsWith('-') ? `-${amount(budget.resource, delta.slice(1))}` : delta === '0' ? '' : `+${amount(budget.resource, delta)}`
  const [head = '', ...lines] = table(
    ['AT', 'KIND', 'HELD', 'SPENT', 'RESERVATION'],
    entries.map((entry) => [entry.at, entry.kind, signed(entry.reserved_delta), signed(entry.settled_delta), entry.reservation_id]),
  )
  context.out.answer({ budget, entries }, entries.length === 0 ? ['The ledger of this budget is empty.'] : [context.out.paint.bold(head), ...lines])
  return 0
}

/** Only the organisation and projects get a budget by hand; machines and runs are born with theirs. */
async function createBudget(context: Parameters<typeof budgetSet>[0], client: Autovibe, ref: string, limit: string): Promise<number> {
  const options = { signal: context.signal }
  const { scope, scopeId } = await scopeOf(client, ref, options)
  if (scope !== 'organisation' && scope !== 'project') throw noBudget(ref)
  const budget = await client.budgets.create({ scope, scope_id: scopeId, limit }, options)
  context.out.answer({ budget }, [`${context.out.paint.green('✓')} ${scope} budget: ${usd(budget.limit)}; ${usd(budget.available)} left.`])
  return 0
}

/** The open budget first, then closed ones, newest first. */
async function findBudgets(client: Autovibe, ref: string, options: CallOptions): Promise<Budget[]> {
  if (isId('budget', ref)) return [await client.budgets.get(ref, options)]
  const { scope, scopeId } = await scopeOf(client, ref, options)
  const budgets = await client.budgets.list({ scope, scope_id: scopeId }, options).take(100)
  return [...budgets.filter(({ closed_at }) => closed_at === null), ...budgets.filter(({ closed_at }) => closed_at !== null)]
}

async function scopeOf(client: Autovibe, ref: string, options: CallOptions): Promise<{ scope: BudgetScope; scopeId: string }> {
  if (ref === 'organisation') return { scope: 'organisation', scopeId: 'organisation' }
  if (isId('run', ref)) return { scope: 'run', scopeId: (await client.runs.get(ref, options)).id }
  if (!isId('project', ref)) {
    const machine = await notFoundAs(undefined, resolveMachine(client, ref, options))
    // A person who names a machine means the run at work there, which has the narrower budget.
    if (machine?.run_id) {
      const run = await client.runs.get(machine.run_id, options)
      if (run.ended_at === null) return { scope: 'run', scopeId: run.id }
    }
    if (machine) return { scope: 'machine', scopeId: machine.id }
  }
  const project = await notFoundAs(undefined, client.projects.get(ref, options))
  if (project) return { scope: 'project', scopeId: project.id }
  throw new AutovibeError('not_found', `${JSON.stringify(ref)} is no run, machine or project.`, { fix: 'autovibe budget show' })
}

async function notFoundAs<T>(value: undefined, promise: Promise<T>): Promise<T | undefined> {
  return promise.catch((thrown: unknown) => {
    if (thrown instanceof AutovibeError && (thrown.code === 'not_found' || thrown.code === 'request.invalid')) return value
    throw thrown
  })
}

const noBudget = (ref: string): AutovibeError =>
  new AutovibeError('not_found', `There is no open budget of ${JSON.stringify(ref)}.`, { fix: 'autovibe budget show' })
