/** Loads things in order, a few at a time, so that a walk does not wait for one node after the other. */

/** Nodes on their way at once; each is at most NODE_BYTES_MAX, and commonly a few KiB. */
export const AHEAD = 8

/** The items with what was loaded for them, in their order. */
export async function* readAhead<T, R>(items: readonly T[], load: (item: T, index: number) => Promise<R>): AsyncGenerator<{ item: T; loaded: R }, void> {
  const coming: Promise<R>[] = []
  for (const [index, item] of items.entries()) {
    while (coming.length < AHEAD && index + coming.length < items.length) coming.push(started(load, items, index + coming.length))
    yield { item, loaded: await (coming.shift() as Promise<R>) }
  }
}

function started<T, R>(load: (item: T, index: number) => Promise<R>, items: readonly T[], index: number): Promise<R> {
  const promise = load(items[index] as T, index)
  // Whoever stops walking does not wait for the rest; whoever walks on hears of the failure when its turn comes.
  promise.catch(() => undefined)
  return promise
}
