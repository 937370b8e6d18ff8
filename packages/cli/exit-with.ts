/** A failure whose exit code is not that of the table, for a command that passes on the exit codes of another program. */

/** What exec ends with when the fault is not the command's own, as with docker. */
export const EXEC_FAULT = 125

/** Told as its cause is, with this exit code. */
export class ExitWith extends Error {
  override readonly name = 'ExitWith'
  readonly exitCode: number

  constructor(exitCode: number, cause: unknown) {
    super('an exit code of its own', { cause })
    this.exitCode = exitCode
  }
}
