/** The agent's own log: one JSON line each on standard error, which the substrate keeps. */
import process from 'node:process'

/** Writes one line; never throws, because a log that is full or closed is no reason to stop a run. */
export function log(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
  process.stderr.write(`${JSON.stringify({ at: new Date().toISOString(), message, ...fields })}\n`)
}

/** The words of any thrown value. */
export function wordsOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
