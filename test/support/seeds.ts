/** How many random rounds a test plays and from which seed: few in `npm test`, as many as `npm run soak` asks for. */

export interface Seeds {
  readonly count: number
  readonly first: number
  /** Somebody named the seed, and so looks for the reason of a failure. */
  readonly isAsked: boolean
}

/** `from` is where they begin when nobody names one; without it at random. */
export function seeds(usual: number, from = Date.now() % 1_000_000): Seeds {
  const [count, first] = [process.env['AUTOVIBE_SEEDS'], process.env['AUTOVIBE_SEED']]
  return { count: whole(count) ?? usual, first: whole(first) ?? from, isAsked: first !== undefined }
}

function whole(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text)) throw new RangeError(`AUTOVIBE_SEED and AUTOVIBE_SEEDS are whole numbers, not ${text}`)
  return Number(text)
}
