/** How much of a limit is used, as a bar. */
import type { Paint } from '../output.ts'

export interface Used {
  readonly limit: bigint
  readonly spent: bigint
  readonly held: bigint
}

/** Above this percentage it is time to look. */
const NEARLY = 80n

/** `width` characters: spent, held, left; in plain characters where there are no colours. What is used shows, however little it is, and only what is full looks full. */
export function bar({ limit, spent, held }: Used, width: number, paint: Paint): string {
  const used = spent + held
  const isFull = used >= limit
  const cells = paint.isColorSupported ? width : width - 2
  const least = spent > 0n && held > 0n ? 2 : 1
  const usedCells = isFull ? cells : used === 0n ? 0 : Math.min(cells - 1, Math.max(least, share(used, limit, cells)))
  const spentCells = held === 0n ? usedCells : Math.min(usedCells - 1, share(spent, used, usedCells))
  const parts = (marks: readonly [string, string, string]) => [
    marks[0].repeat(spentCells),
    marks[1].repeat(usedCells - spentCells),
    marks[2].repeat(cells - usedCells),
  ]
  if (!paint.isColorSupported) return `[${parts(['#', '=', '.']).join('')}]`
  const [ofSpent = '', ofHeld = '', left = ''] = parts(['█', '▒', '░'])
  const colour = isFull ? paint.red : used * 100n >= limit * NEARLY ? paint.yellow : paint.green
  return colour(ofSpent + ofHeld) + paint.dim(left)
}

/** Of so many cells, rounded half up, at least one for anything at all. */
function share(part: bigint, whole: bigint, cells: number): number {
  if (part <= 0n) return 0
  const rounded = Number((part * BigInt(cells) * 2n + whole) / (whole * 2n))
  return Math.min(cells, Math.max(1, rounded))
}
