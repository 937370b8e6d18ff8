/** Several statements in one exchange with the database: each exchange of a short transaction takes as long as what it asks for. */
import type { Expression, OperationNodeSource } from 'kysely'
import type { Tx } from './database.ts'

/** The transaction, of which the next statement carries these out as well (PostgreSQL, section 7.8.4); neither sees what the other changes. */
export function along(tx: Tx, ...statements: readonly OperationNodeSource[]): Tx {
  let carrying: Pick<Tx, 'with'> = tx
  for (const [index, statement] of statements.entries()) carrying = carrying.with(`along_${index}`, () => statement as Expression<Record<string, unknown>>)
  // What it can do beyond `Tx` (to name these) nobody needs.
  return carrying as Tx
}
