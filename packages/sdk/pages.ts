/** A list of the Hub: walked item by item, or taken page by page. */
import type { Page } from '@autovibe/contract'
import type { CallOptions, Query, Transport } from './transport.ts'

export interface List<T> extends AsyncIterable<T> {
  /** One page; `next_cursor` of the last is null. */
  page(at?: { readonly cursor?: string | undefined; readonly limit?: number | undefined }): Promise<Page<T>>
  /** At most `max` items as an array. */
  take(max: number): Promise<T[]>
}

/** The list behind a path; nothing is asked before it is walked. */
export function list<T>(transport: Transport, path: string, query: Query = {}, options: CallOptions = {}): List<T> {
  const page: List<T>['page'] = (at = {}) => transport.page<T>(path, { ...query, ...at }, options)
  async function* walk(): AsyncGenerator<T> {
    let cursor: string | undefined
    do {
      const current: Page<T> = await page({ cursor })
      yield* current.items
      // A cursor that does not move would make an endless loop of a server's mistake.
      if (current.next_cursor === cursor) return
      cursor = current.next_cursor ?? undefined
    } while (cursor !== undefined)
  }
  return {
    page,
    [Symbol.asyncIterator]: walk,
    async take(max) {
      const items: T[] = []
      if (max < 1) return items
      for await (const item of walk()) if (items.push(item) >= max) break
      return items
    },
  }
}
