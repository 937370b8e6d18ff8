/** The rows of a ledger for people: exact amounts, so that they add up. */
import type { Budget, LedgerEntry, UsageEvent } from '@autovibe/contract'
import type { Paint } from '../output.ts'
import { dollars } from './money.ts'
import { count, plain, table, truncate } from './text.ts'

/** A row with what the budget came to by it. */
export interface Row extends LedgerEntry {
  readonly reserved_after: string
  readonly settled_after: string
}

/** A row with who moved it and what for. */
export interface ToldRow extends Row {
  readonly scope: Budget['scope']
  readonly scope_id: string
  readonly model: string | null
  /** `estimated` where the exact figure could not be had. */
  readonly quality: UsageEvent['quality'] | null
}

export function renderLedger({ resource }: Pick<Budget, 'resource'>, rows: readonly ToldRow[], names: ReadonlyMap<string, string>, paint: Paint): string[] {
  if (rows.length === 0)
    return ['Nothing stands in the ledger of this budget here: a row is written for every model call, before it goes out and when it has ended.']
  const amount = (value: string) => (resource === 'money' ? dollars(BigInt(value), DECIMALS) : count(value))
  const change = (delta: string) => (delta === '0' ? '' : delta.startsWith('-') ? `-${amount(delta.slice(1))}` : `+${amount(delta)}`)
  const [head = '', ...lines] = table(
    ['TIME', 'KIND', 'HELD', 'SPENT', 'HELD THEN', 'SPENT THEN', 'MODEL', 'WHO', 'ID'],
    rows.map((row) => [
      `${row.at.slice(0, 19).replace('T', ' ')}Z`,
      row.kind,
      change(row.reserved_delta),
      change(row.settled_delta),
      amount(row.reserved_after),
      amount(row.settled_after),
      row.model === null ? '-' : `${plain(row.model)}${row.quality === 'estimated' ? ' (estimated)' : ''}`,
      who(row, names),
      row.scope === 'organisation' ? '' : row.scope_id,
    ]),
  )
  return [paint.bold(head), ...lines]
}

/** Model calls cost fractions of a cent. */
const DECIMALS = 4

function who({ scope, scope_id }: ToldRow, names: ReadonlyMap<string, string>): string {
  if (scope === 'organisation') return scope
  const name = names.get(scope_id)
  return name === undefined ? scope : `${scope} ${scope === 'run' ? JSON.stringify(truncate(plain(name), 28)) : plain(name)}`
}
