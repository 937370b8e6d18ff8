// The one error the launcher prints instead of a stack: what went wrong, how to fix it, and the exit code of the command's contract.
'use strict'

class LaunchError extends Error {
  /** @param {string} message what and why, one sentence
   * @param {string} fix best a command
   * @param {1 | 3} exitCode 3 when trying again later may help */
  constructor(message, fix, exitCode = 1) {
    super(message)
    this.fix = fix
    this.exitCode = exitCode
  }
}

/** A progress line; stderr, because stdout belongs to the command that follows. @param {string} line */
function say(line) {
  process.stderr.write(`${line}\n`)
}

module.exports = { LaunchError, say }
