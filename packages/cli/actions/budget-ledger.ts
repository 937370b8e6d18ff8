/** Reads the ledger of a budget: its newest rows, with who moved what, and what it came to after each. */
import { AutovibeError, type Budget, type UsageEvent } from '@autovibe/contract'
import type { Autovibe, CallOptions } from '@autovibe/sdk'
import type { BudgetLedgerOptions } from '../commands/budget.ts'
import type { Action } from '../commands/define.ts'
import { type Row, renderLedger, type ToldRow } from '../render/ledger.ts'
import { namesOf } from './budget-names.ts'
import { budgetsOf, budgetTarget, inFull, openBudgetOf, refOf } from './budget-target.ts'

const PAGE = 1000
const SHOWN = 50
/** So many rows are kept in memory at most; the sums are over all of them. */
const KEPT_MAX = 100_000
/** So far back a model is looked for. */
const USAGE_MAX = 20_000

export const budgetLedger: Action<BudgetLedgerOptions> = async (context, [ref = ''], given) => {
  const { out } = context
  const before = given.before === undefined ? undefined : readCount('--before', given.before)
  const wanted = given.tail === undefined ? (out.json || given.all === true ? KEPT_MAX : SHOWN) : readCount('--tail', given.tail)
  const client = await context.connect()
  const options = { signal: context.signal }
  const target = await budgetTarget(client, ref, options)
  const budget = (await openBudgetOf(client, target, options)) ?? (await budgetsOf(client, target, options))[0]
  if (!budget) throw new AutovibeError('not_found', `There is no budget of the ${inFull(target)}.`, { fix: 'autovibe budget show' })
  const { rows, earlier } = await lastRows(client, budget.id, Math.min(wanted, KEPT_MAX), before, options)
  const told = await tell(client, budget, rows, options)
  const names = out.json || told.length === 0 ? new Map<string, string>() : await namesOf(client, options)
  out.answer({ budget, entries: told, earlier }, renderLedger(budget, told, names, out.paint))
  const [first] = rows
  if (earlier > 0 && first) {
    out.note(`${earlier} earlier ${earlier === 1 ? 'row is' : 'rows are'} not shown.`)
    out.next([`autovibe budget ledger ${refOf({ ...target, budget: target.budget ?? (budget.period === 'total' ? null : budget) })} --before ${first.id}`])
  }
  return 0
}

/** From the first row on, so that what a budget came to is the sum of what was written and of nothing else. */
async function lastRows(client: Autovibe, id: string, wanted: number, before: number | undefined, options: CallOptions) {
  const list = client.budgets.ledger(id, options)
  const kept: Row[] = []
  let [reserved, settled, seen] = [0n, 0n, 0]
  let cursor: string | undefined
  do {
    const page = await list.page({ cursor, limit: PAGE })
    for (const entry of page.items) {
      if (before !== undefined && Number(entry.id) >= before) return { rows: kept.slice(-wanted), earlier: Math.max(0, seen - wanted) }
      reserved += BigInt(entry.reserved_delta)
      settled += BigInt(entry.settled_delta)
      seen++
      kept.push({ ...entry, reserved_after: reserved.toString(), settled_after: settled.toString() })
    }
    if (kept.length > wanted + PAGE) kept.splice(0, kept.length - wanted)
    if (page.next_cursor === cursor) break
    cursor = page.next_cursor ?? undefined
  } while (cursor !== undefined)
  return { rows: kept.slice(-wanted), earlier: Math.max(0, seen - wanted) }
}

async function tell(client: Autovibe, budget: Budget, rows: readonly Row[], options: CallOptions): Promise<ToldRow[]> {
  const narrowest = new Map<string, Budget>([[budget.id, budget]])
  for (const { budget_id } of rows) if (!narrowest.has(budget_id)) narrowest.set(budget_id, await client.budgets.get(budget_id, options))
  const usage = await usageOf(client, budget, rows, options)
  return rows.map((row) => {
    const { scope, scope_id } = narrowest.get(row.budget_id) ?? budget
    const event =
      (row.usage_event_id === null ? undefined : usage.get(row.usage_event_id)) ?? (row.reservation_id === null ? undefined : usage.get(row.reservation_id))
    return { ...row, scope, scope_id, model: event?.model ?? null, quality: row.kind === 'settle' ? (event?.quality ?? null) : null }
  })
}

/** The usage events behind the rows, by their own ids and by their reservations': a hold is known by what came of it. */
async function usageOf(client: Autovibe, budget: Budget, rows: readonly Row[], options: CallOptions): Promise<Map<string, UsageEvent>> {
  const wanted = new Set(rows.flatMap(({ usage_event_id }) => usage_event_id ?? []))
  const found = new Map<string, UsageEvent>()
  if (wanted.size === 0) return found
  const { scope, scope_id, resource } = budget
  const query = { resource, limit: PAGE, ...(scope === 'organisation' ? {} : { [scope]: scope_id }) }
  let looked = 0
  for await (const event of client.usage.list(query, options)) {
    if (wanted.delete(event.id)) {
      found.set(event.id, event)
      if (event.reservation_id !== null) found.set(event.reservation_id, event)
    }
    if (wanted.size === 0 || ++looked >= USAGE_MAX) break
  }
  return found
}

function readCount(option: string, text: string): number {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text)
  throw new AutovibeError('request.invalid', `${option} takes a whole number from 1 on, not ${JSON.stringify(text)}.`, {
    fix: 'autovibe budget ledger organisation --tail 20',
  })
}
