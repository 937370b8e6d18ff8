/** The hunks of a unified diff between two texts, in bounded time. */
import { diffArrays } from 'diff'

const CONTEXT_LINES = 3
/**
 * The search takes time and memory by the square of the edits (1,000: about 0.1 s). Texts further apart are shown as one replacement, which is
 * as right and easier to read. The time limit is a second guard, against lines that are slow to compare; it only changes how a change is shown.
 */
const EDITS_MAX = 1_000
const SEARCH_MS_MAX = 500

/** What is left of the search, in squared edits, for all texts of one answer. */
export interface Effort {
  left: number
}

export const newEffort = (): Effort => ({ left: 20 * EDITS_MAX ** 2 })

export interface UnifiedText {
  /** Empty when the texts are equal. */
  readonly hunks: string
  readonly addedLines: number
  readonly removedLines: number
}

interface Line {
  readonly sign: ' ' | '-' | '+'
  readonly text: string
}

export function unifiedText(before: string, after: string, effort: Effort = newEffort()): UnifiedText {
  const lines = compare(splitLines(before), splitLines(after), effort)
  let addedLines = 0
  let removedLines = 0
  for (const { sign } of lines) {
    if (sign === '+') addedLines++
    else if (sign === '-') removedLines++
  }
  return { hunks: hunksOf(lines), addedLines, removedLines }
}

/** Lines with their newline; the last may lack it, and then differs from one that does not. */
function splitLines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

function compare(before: readonly string[], after: readonly string[], effort: Effort): Line[] {
  const shorter = Math.min(before.length, after.length)
  let head = 0
  while (head < shorter && before[head] === after[head]) head++
  let tail = 0
  while (tail < shorter - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++
  const old = before.slice(head, before.length - tail)
  const young = after.slice(head, after.length - tail)
  const lines = before.slice(0, head).map((text): Line => ({ sign: ' ', text }))
  for (const { added, removed, value } of search(old, young, effort)) {
    const sign = added ? '+' : removed ? '-' : ' '
    for (const text of value) lines.push({ sign, text })
  }
  for (const text of before.slice(before.length - tail)) lines.push({ sign: ' ', text })
  return lines
}

type Part = ReturnType<typeof diffArrays<string>>[number]

function search(before: string[], after: string[], effort: Effort): Part[] {
  const replaced: Part[] = [
    { added: false, removed: true, value: before, count: before.length },
    { added: true, removed: false, value: after, count: after.length },
  ]
  if (before.length === 0 || after.length === 0) return replaced
  const maxEditLength = Math.min(EDITS_MAX, Math.floor(Math.sqrt(effort.left)))
  const parts = diffArrays(before, after, { maxEditLength, timeout: SEARCH_MS_MAX })
  const edits = parts === undefined ? maxEditLength : parts.reduce((sum, part) => sum + (part.added || part.removed ? part.count : 0), 0)
  effort.left = Math.max(0, effort.left - edits ** 2)
  return parts ?? replaced
}

function hunksOf(lines: readonly Line[]): string {
  const parts: string[] = []
  let oldLine = 1
  let newLine = 1
  let index = 0
  while (index < lines.length) {
    const first = nextChange(lines, index)
    if (first === -1) break
    const start = Math.max(index, first - CONTEXT_LINES)
    oldLine += start - index
    newLine += start - index
    const end = hunkEnd(lines, first)
    const hunk = lines.slice(start, end)
    const oldCount = hunk.filter(({ sign }) => sign !== '+').length
    const newCount = hunk.filter(({ sign }) => sign !== '-').length
    // An empty side is written as the line before it.
    parts.push(`@@ -${oldCount === 0 ? oldLine - 1 : oldLine},${oldCount} +${newCount === 0 ? newLine - 1 : newLine},${newCount} @@\n`)
    for (const { sign, text } of hunk) parts.push(text.endsWith('\n') ? sign + text : `${sign}${text}\n\\ No newline at end of file\n`)
    oldLine += oldCount
    newLine += newCount
    index = end
  }
  return parts.join('')
}

function nextChange(lines: readonly Line[], from: number): number {
  for (let index = from; index < lines.length; index++) if (lines[index]?.sign !== ' ') return index
  return -1
}

/** Changes whose contexts would touch share a hunk. */
function hunkEnd(lines: readonly Line[], firstChange: number): number {
  let end = firstChange + 1
  for (;;) {
    const next = nextChange(lines, end)
    if (next === -1 || next - end > 2 * CONTEXT_LINES) return Math.min(lines.length, end + CONTEXT_LINES)
    end = next + 1
  }
}
