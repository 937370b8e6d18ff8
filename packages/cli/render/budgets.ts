/** Budgets for people: a line for each, in the tree of their chains, with a bar and what it has come to. */
import type { Budget } from '@autovibe/contract'
import { AUTOVIBE } from '../called.ts'
import type { Paint } from '../output.ts'
import { bar } from './bar.ts'
import { isLimited, type Node, treeOf } from './budget-tree.ts'
import { dollars, sharesOf } from './money.ts'
import { count, plain, table, truncate, usd } from './text.ts'

export interface BudgetView {
  /** What people call projects, machines and runs, by their ids. */
  readonly names?: ReadonlyMap<string, string>
  /** Columns of the terminal; undefined for none, where lines may be as long as they are. */
  readonly width?: number | undefined
}

const BAR_MIN = 10
const BAR_MAX = 24
const NAME_MAX = 44
/** The beginning of an id that says enough: its time, and some of its chance. */
const ID_BEGINNING = 18

/** An amount in the unit of its resource. */
export const amount = (resource: string, value: string): string => (resource === 'money' ? usd(value) : count(value))

export function renderBudgets(budgets: readonly Budget[], paint: Paint, view: BudgetView = {}): string[] {
  if (budgets.length === 0)
    return [
      'No budget has a limit or spending yet. A run opens one, and a cap can be set beforehand:',
      `  ${AUTOVIBE} run "PROMPT" --project PATH --budget 2.00`,
      `  ${AUTOVIBE} budget set organisation 100 --period monthly`,
    ]
  const rows = treeOf(budgets).flatMap((root) => rowsOf(root, '', '', paint, view))
  const layout = layoutOf(rows, view.width)
  const [head = '', ...lines] = table(
    ['BUDGET', 'LIMIT', 'SPENT', 'HELD', 'LEFT', 'NOTE', layout.id('ID')],
    rows.map(({ name, columns, note, id }) => [name, ...columns, note, layout.id(id)]),
  )
  const nameWidth = Math.max('BUDGET'.length, ...rows.map(({ name }) => [...name].length))
  // The bar is painted, so it is put in between when all widths are known.
  const withBar = (line: string, middle: string) => {
    const characters = [...line.padEnd(nameWidth)]
    return `${characters.slice(0, nameWidth).join('')}  ${middle}${characters.slice(nameWidth).join('')}`.trimEnd()
  }
  return [
    paint.bold(withBar(head, ' '.repeat(layout.bar))),
    ...lines.map((line, index) => {
      const budget = rows[index]?.budget ?? null
      if (budget === null) return withBar(line, '')
      const used = { limit: BigInt(budget.limit), spent: BigInt(budget.settled), held: BigInt(budget.reserved) }
      return withBar(line, isLimited(budget) ? bar(used, layout.bar, paint) : 'no limit'.padEnd(layout.bar))
    }),
  ]
}

interface Row {
  readonly budget: Budget | null
  readonly name: string
  readonly columns: readonly string[]
  readonly note: string
  readonly id: string
}

function rowsOf(node: Node, lead: string, below: string, paint: Paint, view: BudgetView): Row[] {
  const { budget } = node
  const branches = paint.isColorSupported ? ['├─ ', '│  ', '└─ ', '   '] : ['|- ', '|  ', '`- ', '   ']
  const [more = '', moreBelow = '', last = '', lastBelow = ''] = branches
  const own: Row = {
    budget,
    name: truncate(`${lead}${node.isOther && budget ? titleOfOther(budget) : titleOf(node, view)}`, NAME_MAX),
    columns: budget ? columnsOf(budget) : ['', '', '', ''],
    note: budget ? noteOn(budget, node) : '',
    // What is typed to name it: of a scope's other budgets only their own ids tell.
    id: budget === null ? '' : node.isOther ? budget.id : budget.scope === 'organisation' ? '' : budget.scope_id,
  }
  const children = node.children.flatMap((child, index) =>
    index === node.children.length - 1
      ? rowsOf(child, below + last, below + lastBelow, paint, view)
      : rowsOf(child, below + more, below + moreBelow, paint, view),
  )
  return [own, ...children]
}

function titleOf({ of: { scope, scope_id } }: Node, { names }: BudgetView): string {
  if (scope === 'organisation') return scope
  const name = names?.get(scope_id)
  return name === undefined ? `${scope} ${scope_id}` : `${scope} ${scope === 'run' ? JSON.stringify(truncate(plain(name), 28)) : plain(name)}`
}

function titleOfOther({ resource, period }: Budget): string {
  const what = resource === 'money' ? '' : resource.replaceAll('_', ' ')
  return [period === 'total' ? '' : period, what].filter((word) => word !== '').join(' ') || 'money'
}

/** Limit, spent, held and left. Left is less where a budget above allows less. */
function columnsOf({ resource, limit, settled, reserved, available }: Budget): string[] {
  const money = resource === 'money'
  const shares = sharesOf({ limit, spent: settled, held: reserved })
  const own = BigInt(limit) - BigInt(settled) - BigInt(reserved)
  const left = shares.limit === null ? '-' : money && BigInt(available) === own ? (shares.left ?? '-') : amount(resource, available)
  return [
    shares.limit === null ? 'none' : money ? shares.limit : count(limit),
    money ? shares.spent : count(settled),
    money ? shares.held : count(reserved),
    left,
  ]
}

/** What is special about it. */
function noteOn({ period_ends_at, share, frozen_at, closed_at, policy, set_aside }: Budget, { isOther }: Node): string {
  return [
    closed_at ? 'closed' : '',
    frozen_at ? `frozen since ${time(frozen_at)}` : '',
    period_ends_at && !closed_at ? `until ${time(period_ends_at)}` : '',
    // All budgets of a scope have the same.
    share < 1 && !isOther ? `greediness ${share}` : '',
    policy === 'park' ? '' : policy,
    set_aside === '0' ? '' : `${dollars(BigInt(set_aside))} of what is held for handing back`,
  ]
    .filter((word) => word !== '')
    .join(', ')
}

/** To the minute, in UTC as the calendar of budgets is. */
const time = (at: string): string => `${at.slice(0, 16).replace('T', ' ')}Z`

/** On a terminal, ids and then the bar are shortened until a line has its place; the amounts never are. */
function layoutOf(rows: readonly Row[], width: number | undefined): { readonly bar: number; id(id: string): string } {
  const whole = (id: string) => id
  if (width === undefined) return { bar: BAR_MAX, id: whole }
  const widest = (cells: readonly string[], title: string) => Math.max(title.length, ...cells.map((cell) => [...cell].length))
  const fixed = ['BUDGET', 'LIMIT', 'SPENT', 'HELD', 'LEFT', 'NOTE'].map((title, column) =>
    widest(
      rows.map((row) => (column === 0 ? row.name : column === 5 ? row.note : (row.columns[column - 1] ?? ''))),
      title,
    ),
  )
  const taken = fixed.reduce((sum, cell) => sum + cell + 2, 0)
  const ids: ((id: string) => string)[] = [whole, (id) => id.slice(0, ID_BEGINNING)]
  for (const id of ids) {
    const rest =
      width -
      taken -
      2 -
      widest(
        rows.map((row) => id(row.id)),
        'ID',
      )
    if (rest >= BAR_MIN) return { bar: Math.min(BAR_MAX, rest), id }
  }
  return { bar: Math.max(BAR_MIN, Math.min(BAR_MAX, width - taken)), id: () => '' }
}
