/** Budgets as the tree of their chains: organisation, project, machine, run, and the caps of each. */
import type { Budget } from '@autovibe/contract'
import { sharesOf } from './money.ts'

/** A scope with its budget of money, or one of its other budgets. */
export interface Node {
  /** Null where a scope has other budgets, but none of money for all its time. */
  readonly budget: Budget | null
  readonly of: Pick<Budget, 'scope' | 'scope_id'>
  /** One of the other budgets of the scope above it. */
  readonly isOther: boolean
  readonly children: Node[]
}

/** Whether somebody has set a limit. */
export const isLimited = ({ limit, settled, reserved }: Budget): boolean => sharesOf({ limit, spent: settled, held: reserved }).limit !== null

/** Open, and with a limit or something spent: what one looks for, as a rule. */
export const matters = (budget: Budget): boolean => budget.closed_at === null && (isLimited(budget) || budget.settled !== '0' || budget.reserved !== '0')

/** Those that are wanted, all above them that are known, and what each scope among these has of money in all. */
export function withAbove(budgets: readonly Budget[], isWanted: (budget: Budget) => boolean): Budget[] {
  const byId = new Map(budgets.map((budget) => [budget.id, budget]))
  const kept = new Set<Budget>()
  for (const budget of budgets) {
    if (!isWanted(budget)) continue
    // Whatever is kept has had all above it kept too, so a chain that went round would end here as well.
    for (let at: Budget | undefined = budget; at && !kept.has(at); at = at.parent_id === null ? undefined : byId.get(at.parent_id)) kept.add(at)
  }
  const scopes = new Set([...kept].map(keyOf))
  return budgets.filter((budget) => kept.has(budget) || (isMain(budget) && scopes.has(keyOf(budget))))
}

/** The budgets beneath one, its caps and itself left out, nearest first. */
export function beneath(budgets: readonly Budget[], isTop: (budget: Budget) => boolean): Budget[] {
  const found: Budget[] = []
  let layer = budgets.filter(isTop)
  const seen = new Set(layer.map(({ id }) => id))
  while (layer.length > 0) {
    const ids = new Set(layer.map(({ id }) => id))
    layer = budgets.filter(({ id, parent_id }) => parent_id !== null && ids.has(parent_id) && !seen.has(id))
    for (const budget of layer) seen.add(budget.id)
    found.push(...layer)
  }
  return found
}

const PERIODS = ['total', 'daily', 'weekly', 'monthly']

/** The roots: the organisation as a rule, or whatever nothing above is known of. */
export function treeOf(budgets: readonly Budget[]): Node[] {
  const byId = new Map(budgets.map((budget) => [budget.id, budget]))
  const scopes = Map.groupBy([...budgets].sort(byAge), keyOf)
  const nodes = new Map<string, Node>()
  for (const [key, own] of scopes) {
    const main = own.find(isMain) ?? own.find(({ resource, period }) => resource === 'money' && period === 'total') ?? null
    const [first] = own
    if (first === undefined) continue
    const others = own.filter((budget) => budget !== main).sort((a, b) => PERIODS.indexOf(a.period) - PERIODS.indexOf(b.period))
    const children = others.map((budget): Node => ({ budget, of: budget, isOther: true, children: [] }))
    nodes.set(key, { budget: main, of: { scope: first.scope, scope_id: first.scope_id }, isOther: false, children })
  }
  const roots: Node[] = []
  for (const [key, own] of scopes) {
    const node = nodes.get(key)
    const above = own.map((budget) => scopeAbove(budget, byId)).find((found) => found !== undefined)
    const parent = above === undefined ? undefined : nodes.get(above)
    if (node) (parent?.children ?? roots).push(node)
  }
  return roots
}

/** The next wider scope on the chain, so far as it is known. */
function scopeAbove(budget: Budget, byId: ReadonlyMap<string, Budget>): string | undefined {
  const seen = new Set<string>()
  for (let at: Budget | undefined = budget; at && !seen.has(at.id); at = at.parent_id === null ? undefined : byId.get(at.parent_id)) {
    seen.add(at.id)
    if (keyOf(at) !== keyOf(budget)) return keyOf(at)
  }
  return undefined
}

const keyOf = ({ scope, scope_id }: Budget): string => `${scope} ${scope_id}`
const isMain = ({ resource, period, closed_at }: Budget): boolean => resource === 'money' && period === 'total' && closed_at === null
/** Ids are time-ordered. */
const byAge = (a: Budget, b: Budget): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
