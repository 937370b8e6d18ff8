/** How the command was called, so that what it tells people to run next can be pasted as it stands. */
import { basename, delimiter, dirname, isAbsolute } from 'node:path'

/** `autovibe`, or the path to it that was typed (`./autovibe`), which shells leave in the variable `_`. */
export function calledAs(env: NodeJS.ProcessEnv): string {
  const typed = env['_'] ?? ''
  if (basename(typed) !== 'autovibe' || !/^[\w./@+-]+$/.test(typed)) return 'autovibe'
  // What a shell has found by its bare name stands there as a whole path.
  const isFound = isAbsolute(typed) && (env['PATH'] ?? '').split(delimiter).includes(dirname(typed))
  return isFound ? 'autovibe' : typed
}

/** This command, for what is not said through the `Output`. */
export const AUTOVIBE = calledAs(process.env)

/** The text with each command of ours written as it was called. */
export const asCalled = (text: string, called: string): string =>
  called === 'autovibe' ? text : text.replace(/(?<![\w./-])autovibe (?=[a-z-])/g, `${called} `)
