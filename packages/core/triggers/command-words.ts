/** Parts a shell command into the words that rules are read over: by what stands between commands, not by the shell's grammar, so that nesting hides nothing. */

/** Whoever compares words reads no further; what lies beyond is not known to be harmless. */
export const COMMAND_CHARS_MAX = 20_000

/** The commands of a command line, each by itself. */
export function partsOf(text: string): string[] {
  return text.split(/&&|\|\||[;|\n&()`]|\$\(/)
}

export function wordsOf(part: string): string[] {
  return part.split(/\s+/).filter((word) => word !== '')
}

const BEFORE = new Set(['"', "'", '\\', '(', '{'])
const AFTER = new Set(['"', "'", ')', '}', ';'])

/** Without the quotes and brackets around it. By hand, because a regular expression that is tried at each of many quotes takes their square. */
export function bare(word: string): string {
  let [start, end] = [0, word.length]
  while (start < end && BEFORE.has(word.charAt(start))) start++
  while (end > start && AFTER.has(word.charAt(end - 1))) end--
  return word.slice(start, end)
}
