/** What PostgreSQL cannot keep, or nobody could read again, found before it fails in the middle of a change. */
import { AutovibeError } from '@autovibe/contract'

/** No request needs a third of it. What is some thousand levels deep PostgreSQL keeps, but neither its check nor the answer that shows it goes through. */
const LEVELS_MAX = 32

/** The refusal of a body that cannot be kept and read again; null for one that can. */
export function refusalOfBody(body: unknown): AutovibeError | null {
  // Level by level, not recursive: a mebibyte of brackets is deeper than the stack.
  let level: unknown[] = [body]
  for (let depth = 0; level.length > 0; depth++) {
    const below: unknown[] = []
    for (const item of level) {
      if (typeof item === 'string' && !isStorable(item)) return unstorable('body')
      if (typeof item !== 'object' || item === null) continue
      if (depth >= LEVELS_MAX)
        return new AutovibeError('request.invalid', `The body is nested more than ${LEVELS_MAX} levels deep.`, { fix: 'Send it flatter.' })
      for (const [name, member] of Object.entries(item)) below.push(name, member)
    }
    level = below
  }
  return null
}

/** False for a text that holds a NUL or half of a surrogate pair: neither `text` nor `jsonb` keeps those. */
const isStorable = (text: string): boolean => !text.includes('\0') && text.isWellFormed()

/** The refusal of a request whose `where` (body, path) holds such a text. */
export function unstorable(where: string): AutovibeError {
  return new AutovibeError('request.invalid', `The ${where} holds a character that cannot be stored (NUL, or half of a surrogate pair).`, {
    fix: 'Leave it out.',
  })
}

/** The text without what cannot be stored. */
export const storableText = (text: string): string => text.toWellFormed().replaceAll('\0', '')
