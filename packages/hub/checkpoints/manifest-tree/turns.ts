/** Long work in turns: model calls pass through the same process and shall not wait for a hundred thousand entries. */
import { setImmediate } from 'node:timers/promises'

const STEPS_PER_TURN = 2_000
const RUN_ITEMS = 4_096

export class Turns {
  #steps = 0

  /** Counts steps; true when it is time to `pass`. */
  isOver(steps = 1): boolean {
    this.#steps += steps
    return this.#steps >= STEPS_PER_TURN
  }

  /** Lets others work. */
  async pass(): Promise<void> {
    this.#steps = 0
    await setImmediate()
  }
}

/** Sorted by key, with others let in between: runs that are sorted at once, then merged. */
export async function sortByKey<T extends { readonly key: string }>(items: readonly T[], turns: Turns): Promise<T[]> {
  let runs: T[][] = []
  for (let start = 0; start < items.length; start += RUN_ITEMS) {
    runs.push(items.slice(start, start + RUN_ITEMS).sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)))
    await turns.pass()
  }
  while (runs.length > 1) {
    const longer: T[][] = []
    for (let index = 0; index < runs.length; index += 2) longer.push(await mergeRuns(runs[index] ?? [], runs[index + 1] ?? [], turns))
    runs = longer
  }
  return runs[0] ?? []
}

async function mergeRuns<T extends { readonly key: string }>(a: T[], b: T[], turns: Turns): Promise<T[]> {
  if (b.length === 0) return a
  const merged: T[] = []
  let left = 0
  let right = 0
  for (;;) {
    const x = a[left]
    const y = b[right]
    if (x === undefined && y === undefined) return merged
    if (x !== undefined && (y === undefined || x.key <= y.key)) {
      merged.push(x)
      left++
    } else if (y !== undefined) {
      merged.push(y)
      right++
    }
    // A comparison is far cheaper than a step of other work.
    if (merged.length % RUN_ITEMS === 0) await turns.pass()
  }
}
