/** Chance that can be had again: the same seed gives the same numbers. */

/** A small deterministic source of chance (mulberry32), from 0 to 1. */
export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** One name of the table, as often as its weight says. */
export function drawn<K extends string>(chance: () => number, weights: Readonly<Record<K, number>>): K {
  const entries = Object.entries(weights) as [K, number][]
  let left = chance() * entries.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [name, weight] of entries) {
    left -= weight
    if (left < 0) return name
  }
  throw new RangeError('nothing to draw from')
}

/** A whole number from `least` to `most`. */
export const between = (chance: () => number, least: number, most: number): number => least + Math.floor(chance() * (most - least + 1))
