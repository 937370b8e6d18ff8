/** Several things by their names, as long as they are few. */
import { plural } from './text.ts'

const NAMED_MAX = 6

/** `calm-beaver, clever-goose`; of very many only some are named. */
export function few(names: readonly string[]): string {
  const left = names.length - NAMED_MAX
  return (left > 0 ? [...names.slice(0, NAMED_MAX), `${left} more`] : names).join(', ')
}

/** `2 machines (calm-beaver, clever-goose)`. */
export const named = (names: readonly string[], one: string): string => `${plural(names.length, one)} (${few(names)})`
