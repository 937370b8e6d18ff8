/** How many booted machines shall wait for a project: as many as were lately started close together, and none when nobody has started any for a while. */

/** Starts so close together want a machine each. */
const TOGETHER_MS = 10_000
/** Longer ago counts no more. */
const REMEMBERED_MS = 10 * 60_000

/** `startsMs`: when machines were started, in any order; `most`: what the host can spare. */
export function warmTarget(startsMs: readonly number[], nowMs: number, most: number): number {
  const recent = startsMs.filter((at) => at > nowMs - REMEMBERED_MS && at <= nowMs).sort((a, b) => a - b)
  let [first, densest] = [0, 0]
  for (const [last, at] of recent.entries()) {
    while ((recent[first] ?? at) <= at - TOGETHER_MS) first++
    densest = Math.max(densest, last - first + 1)
  }
  return Math.min(densest, most)
}

/** The starts that a later target can still depend on, so that what is remembered stays bounded. */
export function rememberedStarts(startsMs: readonly number[], nowMs: number, most: number): readonly number[] {
  // More than `most` of the same ten seconds would change nothing, but ten minutes of spawning without a pause must not be kept whole.
  return startsMs.filter((at) => at > nowMs - REMEMBERED_MS).slice(-most * (REMEMBERED_MS / TOGETHER_MS))
}
