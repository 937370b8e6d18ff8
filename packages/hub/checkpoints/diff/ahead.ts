/** Works on one thing after the other while something for the next few is on its way. */

/** Each item with what was begun for it when it came near, in order; whoever stops does not wait for the rest, and hears of a failure only at its turn. */
export async function* ahead<T, R>(
  items: AsyncIterable<T>,
  count: number,
  begin: (item: T) => Promise<R>,
): AsyncGenerator<{ readonly item: T; readonly begun: Promise<R> }, void> {
  const near: { item: T; begun: Promise<R> }[] = []
  for await (const item of items) {
    const begun = begin(item)
    begun.catch(() => undefined)
    near.push({ item, begun })
    const first = near.length > count ? near.shift() : undefined
    if (first !== undefined) yield first
  }
  yield* near
}
