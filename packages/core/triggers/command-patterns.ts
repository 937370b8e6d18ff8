/** Patterns of commands that people write: words with `*` in them, never regular expressions, so that no text takes long to be compared. */
import { bare, partsOf, wordsOf } from './command-words.ts'

/** Whether the words of one of the patterns follow one another in one of the commands of this text. A word without a slash is also the last part of a path: `deploy.sh` fits `./bin/deploy.sh`. */
export function fitsAnyPattern(text: string, patterns: readonly string[]): boolean {
  if (patterns.length === 0) return false
  const commands = partsOf(text).map((part) => wordsOf(part).map(bare))
  return patterns.some((pattern) => {
    const wanted = pattern.split(' ').map((word) => ({ pieces: word.split('*'), isPath: word.includes('/') }))
    return commands.some((words) => words.some((_, start) => wanted.every((one, offset) => fitsWord(one, words[start + offset]))))
  })
}

interface Wanted {
  /** What stands between its stars. */
  readonly pieces: readonly string[]
  readonly isPath: boolean
}

function fitsWord({ pieces, isPath }: Wanted, word: string | undefined): boolean {
  if (word === undefined) return false
  return fitsPieces(pieces, word) || (!isPath && word.includes('/') && fitsPieces(pieces, word.slice(word.lastIndexOf('/') + 1)))
}

/** Each piece is taken as early as it can be, which leaves the most for those after it; nothing is ever tried again. */
function fitsPieces(pieces: readonly string[], word: string): boolean {
  const first = pieces[0] ?? ''
  if (pieces.length === 1) return word === first
  const last = pieces.at(-1) ?? ''
  const end = word.length - last.length
  if (end < first.length || !word.startsWith(first) || !word.endsWith(last)) return false
  let at = first.length
  for (const piece of pieces.slice(1, -1)) {
    const found = word.indexOf(piece, at)
    if (found < 0 || found + piece.length > end) return false
    at = found + piece.length
  }
  return true
}
