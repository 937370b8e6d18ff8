/** Walks a difference while the Hub makes it. */
import type { DiffTotals, FileChange } from '@autovibe/contract'
import type { Diff } from '@autovibe/sdk'

/** Waits for what is done with each file before the next is read. */
export async function walkDiff({ files }: Diff, onFile: (file: FileChange) => void | Promise<void>): Promise<DiffTotals> {
  let next = await files.next()
  for (; !next.done; next = await files.next()) await onFile(next.value)
  return next.value
}

/** How much changed, when what changed is of no interest. */
export async function sumOf(diff: Diff) {
  const { files, added_lines, removed_lines } = await walkDiff(diff, () => undefined)
  return { files, added_lines, removed_lines }
}
