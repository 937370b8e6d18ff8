/** Pages of lists: one row more than asked for tells whether there is a next page, whose cursor is the place of the last row shown. */
import { AutovibeError, type Page } from '@autovibe/contract'

/** The page of rows that were read with `limit + 1`; `placeOf` says what the next page starts behind. */
export function toPage<Row, Item>(rows: readonly Row[], limit: number, toItem: (row: Row) => Item, placeOf: (row: Row) => string): Page<Item> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const more = rows.length > limit && last !== undefined
  return { items: shown.map(toItem), next_cursor: more ? Buffer.from(placeOf(last)).toString('base64url') : null }
}

const ID = /^[a-z]{3}_[0-9a-z]{26}$/
const NUMBER = /^[0-9]{1,18}$/

/** The id that a cursor names, or undefined for the first page. The caller compares it only; it grants nothing. */
export function idAfter<T extends string>(cursor: string | undefined): T | undefined {
  return decode(cursor, ID) as T | undefined
}

/** The number that a cursor names, or undefined for the first page. */
export function numberAfter(cursor: string | undefined): bigint | undefined {
  const text = decode(cursor, NUMBER)
  return text === undefined ? undefined : BigInt(text)
}

/** The text that a cursor names (a name), or undefined for the first page. */
export function nameAfter(cursor: string | undefined): string | undefined {
  return decode(cursor, /^[a-z0-9-]{1,40}$/)
}

function decode(cursor: string | undefined, form: RegExp): string | undefined {
  if (cursor === undefined) return undefined
  const text = Buffer.from(cursor, 'base64url').toString('latin1')
  if (form.test(text)) return text
  throw new AutovibeError('request.invalid', 'The cursor is not one that this list gave.', {
    errors: [{ path: 'query.cursor', message: 'must be next_cursor of an earlier page' }],
    fix: 'Leave cursor out to start at the first page.',
  })
}
