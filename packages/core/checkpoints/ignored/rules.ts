/** The rules of one .gitignore (gitignore(5)), and what they say of one path beneath their folder. */
import { type Effort, matches, type Pattern, readPattern } from './pattern.ts'

export interface Rule {
  /** Takes back what an earlier rule ignores. */
  readonly isWanted: boolean
  readonly onlyFolders: boolean
  /** Asked about the last name alone, in whatever folder it is. */
  readonly ofNames: boolean
  readonly pattern: Pattern
}

/** The rules in a file's bytes, each a character up to U+00FF. */
export function readRules(bytes: string): Rule[] {
  const rules: Rule[] = []
  for (const line of bytes.replace(/^\xef\xbb\xbf/, '').split('\n')) {
    const rule = line.startsWith('#') ? null : readRule(withoutEnd(line))
    if (rule !== null) rules.push(rule)
  }
  return rules
}

/** The last rule that matches decides; null when none does, or when it took more than there was of effort. */
export function judge(rules: readonly Rule[], path: string, isFolder: boolean, effort: Effort): 'ignored' | 'wanted' | null {
  const name = path.slice(path.lastIndexOf('/') + 1)
  for (let index = rules.length - 1; index >= 0 && effort.left >= 0; index--) {
    const rule = rules[index]
    if (rule === undefined || (rule.onlyFolders && !isFolder) || !matches(rule.pattern, rule.ofNames ? name : path, effort)) continue
    return rule.isWanted ? 'wanted' : 'ignored'
  }
  return null
}

function readRule(line: string): Rule | null {
  const isWanted = line.startsWith('!')
  const written = isWanted ? line.slice(1) : line
  const onlyFolders = written.endsWith('/')
  const source = onlyFolders ? written.slice(0, -1) : written
  const pattern = readPattern(source.startsWith('/') ? source.slice(1) : source)
  return source === '' || pattern === null ? null : { isWanted, onlyFolders, ofNames: !source.includes('/'), pattern }
}

/** Without the carriage return, what follows a NUL, and spaces that nothing keeps. */
function withoutEnd(line: string): string {
  const text = (line.endsWith('\r') ? line.slice(0, -1) : line).split('\0', 1)[0] ?? ''
  let end = text.length
  while (text[end - 1] === ' ') end--
  let slashes = 0
  while (text[end - 1 - slashes] === '\\') slashes++
  // An odd one escapes the first of the spaces.
  return text.slice(0, end === text.length || slashes % 2 === 0 ? end : end + 1)
}
