/** What PostgreSQL cannot keep, found before it fails in the middle of a change. */
import { AutovibeError } from '@autovibe/contract'

/** False when a text in the value, or a name of a member, holds a NUL or half of a surrogate pair: neither `text` nor `jsonb` keeps those. */
export function isStorable(value: unknown): boolean {
  // Not recursive: a mebibyte of brackets is deeper than the stack.
  const left = [value]
  while (left.length > 0) {
    const item = left.pop()
    if (typeof item === 'string' && (item.includes('\0') || !item.isWellFormed())) return false
    if (typeof item === 'object' && item !== null) for (const [name, member] of Object.entries(item)) left.push(name, member)
  }
  return true
}

/** The refusal of a request whose `where` (body, path) holds such a text. */
export function unstorable(where: string): AutovibeError {
  return new AutovibeError('request.invalid', `The ${where} holds a character that cannot be stored (NUL, or half of a surrogate pair).`, {
    fix: 'Leave it out.',
  })
}

/** The text without what cannot be stored. */
export const storableText = (text: string): string => text.toWellFormed().replaceAll('\0', '')
