/** Sets the limit of a budget, with what has to change beside it, and says what follows for the run. */
import { AutovibeError, type Budget, type Run } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'
import type { BudgetSetOptions } from '../commands/budget.ts'
import type { Action } from '../commands/define.ts'
import type { Context } from '../context.ts'
import { isOutOfMoney, raise, restOf, tightestOf } from '../follow/money-out.ts'
import { isLimited } from '../render/budget-tree.ts'
import { inWords } from '../render/closing.ts'
import { dollars, sharesOf, UNLIMITED } from '../render/money.ts'
import { assertMayHave, meaningOf, readWish, type Wish } from './budget-cap.ts'
import { budgetTarget, inFull, openBudgetOf, refOf, type Target } from './budget-target.ts'

export const budgetSet: Action<BudgetSetOptions> = async (context, [ref = '', amount], given) => {
  const wish = readWish(ref, amount, given)
  const client = await context.connect()
  const options = { signal: context.signal }
  const target = await budgetTarget(client, ref, options)
  assertMayHave(target, wish)
  const budget = await openBudgetOf(client, target, options, wish.period)
  if (budget === undefined) return createBudget(context, client, target, wish)
  const { updated, also } = await changeWith(client, target, budget, wish, options)
  const run = target.run === null ? null : await client.runs.get(target.run.id, options)
  const { out } = context
  const check = out.paint.green('✓')
  out.answer({ set: { kind: target.kind, id: target.id, name: target.name }, budget: updated, also, run }, [
    `${check} ${inFull(target)}: ${limitWord(updated)} ${updated.limit === budget.limit ? '' : `${isLimited(budget) ? dollars(BigInt(budget.limit)) : 'none'} → `}${whole(updated)}`,
    ...(also === null
      ? []
      : [`${check} ${also.scope === 'run' ? `its run ${also.scope_id}` : `its machine ${target.name} (${also.scope_id})`} with it: limit ${whole(also)}`]),
    ...(hasMeaning(target) ? [meaningOf(target, updated)] : []),
  ])
  await tellRun(context, client, target, updated, run)
  return 0
}

type Limited = Wish['settings'] & { readonly limit: string }

interface Change {
  readonly updated: Budget
  /** The other budget that was changed with it. */
  readonly also: Budget | null
}

/** Settings alone change nothing beside them. */
async function changeWith(client: Autovibe, target: Target, budget: Budget, { limit, settings }: Wish, options: CallOptions): Promise<Change> {
  if (limit === undefined)
    return { updated: await client.budgets.update(budget, settings, options), also: await policyOfRun(client, target, settings, options) }
  const change = target.kind === 'machine' && target.budget === null ? setMachine : setOne
  return change(client, target, budget, { ...settings, limit }, options)
}

/** What shall happen at the limit of a machine happens to its run, which meets its own first. */
async function policyOfRun(client: Autovibe, { kind, budget, run }: Target, { policy }: Wish['settings'], options: CallOptions): Promise<Budget | null> {
  if (policy === undefined || kind !== 'machine' || budget !== null || run === null) return null
  const ofRun = await openBudgetOf(client, { kind: 'run', id: run.id }, options)
  return ofRun === undefined ? null : client.budgets.update(ofRun, { policy }, options)
}

const hasMeaning = ({ kind }: Target): boolean => kind === 'organisation' || kind === 'project'

/** A machine is born with the limit of its run; whoever raises the run's means the machine's too, as far as that stands in the way. */
async function setOne(client: Autovibe, _target: Target, budget: Budget, wanted: Limited, options: CallOptions): Promise<Change> {
  const machine = budget.scope === 'run' && budget.parent_id !== null ? await client.budgets.get(budget.parent_id, options) : null
  const missing = machine === null ? 0n : restOf({ ...budget, limit: wanted.limit }) - restOf(machine)
  const isInTheWay = machine?.scope === 'machine' && machine.closed_at === null && missing > 0n
  const also = isInTheWay ? await client.budgets.update(machine, { limit: (BigInt(machine.limit) + missing).toString() }, options) : null
  return { updated: await client.budgets.update(budget, wanted, options), also }
}

/** Its run may spend all that the machine may, unless somebody has given it less. */
async function setMachine(client: Autovibe, { run }: Target, budget: Budget, wanted: Limited, options: CallOptions): Promise<Change> {
  const ofRun = run === null ? undefined : await openBudgetOf(client, { kind: 'run', id: run.id }, options)
  const updated = await client.budgets.update(budget, wanted, options)
  if (ofRun === undefined || restOf(ofRun) < restOf(budget)) return { updated, also: null }
  const usedByOthers = BigInt(budget.settled) + BigInt(budget.reserved) - BigInt(ofRun.settled) - BigInt(ofRun.reserved)
  const share = BigInt(wanted.limit) - usedByOthers
  return {
    updated,
    also: await client.budgets.update(ofRun, { limit: (share < 0n ? 0n : share).toString(), ...(wanted.policy && { policy: wanted.policy }) }, options),
  }
}

/** Whether the run goes on now, or why not and what would help. */
async function tellRun(context: Context, client: Autovibe, target: Target, budget: Budget, run: Run | null): Promise<void> {
  const { out, signal } = context
  const mark = out.paint.yellow('!')
  const wasWaiting = target.run !== null && isOutOfMoney(target.run)
  if (restOf(budget) <= 0n) {
    const consequence = run === null ? 'no model call goes out' : run.state === 'paused' ? 'the run stays paused' : 'the run is paused at its next model call,'
    const held = budget.reserved === '0' ? '' : `, and ${dollars(BigInt(budget.reserved))} held by model calls under way`
    out.note(`${mark} Already spent: ${dollars(BigInt(budget.settled))}${held}; ${consequence} until the limit is above that.`)
    return out.next([raise(budget.period === 'total' ? refOf(target) : budget.id, budget)])
  }
  const own = run === null || target.kind !== 'machine' ? undefined : await openBudgetOf(client, { kind: 'run', id: run.id }, { signal })
  if (run !== null && own !== undefined && restOf(own) < restOf(budget)) {
    out.note(`Its run ${run.id} keeps a limit of its own: ${whole(own)}`)
    if (restOf(own) <= 0n || wasWaiting) return out.next([raise(run.id, own)])
  } else if (BigInt(budget.available) < restOf(budget)) await tellAbove(context, client, budget)
  if (!wasWaiting || run === null) return
  const isStarting = run.state === 'paused' && (await client.machines.get(run.machine_id, { signal })).operation_id !== null
  if (run.state === 'paused' && !isStarting) return out.note(`${mark} The run stays paused.`)
  out.note(isStarting ? 'The run goes on as soon as its machine works.' : 'The run goes on.')
  out.next([`autovibe attach ${run.machine_name}`])
}

/** Said by name, for whoever wonders what the new limit is good for. Without limits above there is only what they have spent, which is in nobody's way. */
async function tellAbove({ out, signal }: Context, client: Autovibe, budget: Budget): Promise<void> {
  const above = await tightestOf(client, budget.parent_id, { signal })
  if (above === undefined || !isLimited(above)) return
  const isLess = restOf(above) < restOf(budget)
  const whose = above.scope_id === budget.scope_id ? 'its' : `the ${above.scope}'s`
  out.note(`A budget above it allows less: ${isLess ? `${whose} ${limitWord(above)} ${whole(above)}` : 'autovibe budget show'}`)
}

const limitWord = ({ period }: Budget): string => (period === 'total' ? 'limit' : `${period} limit`)

/** A limit and what has come of it. */
function whole({ limit, settled, reserved }: Budget): string {
  const shares = sharesOf({ limit, spent: settled, held: reserved })
  return `${shares.limit ?? 'none'}; ${inWords({ ...shares, limit: null })}.`
}

/** Only the organisation and projects get a budget by hand; machines and runs are born with theirs. */
async function createBudget(context: Context, client: Autovibe, target: Target, { limit, period = 'total', settings }: Wish): Promise<number> {
  const { kind, id, name } = target
  if (target.budget !== null || (kind !== 'organisation' && kind !== 'project'))
    throw new AutovibeError('not_found', `There is no open budget of money of the ${inFull(target)}.`, { fix: 'autovibe budget show' })
  if (limit === undefined)
    throw new AutovibeError(
      'not_found',
      `There is no ${period === 'total' ? '' : `${period} `}budget of the ${inFull(target)} yet, and a new one needs its limit.`,
      {
        fix: `autovibe budget set ${id} 5.00 --period ${period}`,
      },
    )
  if (limit === UNLIMITED.toString())
    throw new AutovibeError('not_found', `The ${inFull(target)} has no ${period === 'total' ? 'limit' : `${period} limit`} that could be taken away.`, {
      fix: `autovibe budget show ${id}`,
    })
  const budget = await client.budgets.create({ scope: kind, scope_id: id, period, limit, ...settings }, { signal: context.signal })
  const answer = { set: { kind, id, name }, budget, also: null, run: null }
  context.out.answer(answer, [`${context.out.paint.green('✓')} ${inFull(target)}: ${limitWord(budget)} ${whole(budget)}`, meaningOf(target, budget)])
  return 0
}
