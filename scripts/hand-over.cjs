// Gives the process to a TypeScript file under Node 24: in this process when it is one already, by execve where Node offers it, else as a child whose end becomes ours.
'use strict'
const path = require('node:path')

const FORWARDED = /** @type {NodeJS.Signals[]} */ (['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGUSR2'])

/** Does not return to a caller that wants to go on: the file is the rest of the program.
 * @param {string} node
 * @param {string} file absolute path
 * @param {string[]} args
 * @param {string} cacheDir */
function handOver(node, file, args, cacheDir) {
  prepare(process.env, cacheDir)
  if (node === process.execPath) runHere(file, args)
  else if (canReplace()) /** @type {any} */ (process).execve(node, [node, file, ...args], process.env)
  else runAsChild(node, [file, ...args])
}

/** @param {NodeJS.ProcessEnv} env @param {string} cacheDir */
function prepare(env, cacheDir) {
  env['NODE_COMPILE_CACHE'] ??= path.join(cacheDir, 'compiled')
  // Reading a bundle of certificates costs some Node releases 50 ms at each start; whoever speaks TLS to the outside takes it from the second name.
  if (env['NODE_EXTRA_CA_CERTS']) {
    env['AUTOVIBE_EXTRA_CA_CERTS'] = env['NODE_EXTRA_CA_CERTS']
    delete env['NODE_EXTRA_CA_CERTS']
  }
}

/** @param {string} file @param {string[]} args */
function runHere(file, args) {
  const module = /** @type {any} */ (require('node:module'))
  module.enableCompileCache(process.env['NODE_COMPILE_CACHE'])
  process.argv.splice(1, process.argv.length, file, ...args)
  module.runMain(file)
}

/** @returns {boolean} */
function canReplace() {
  return process.platform !== 'win32' && typeof (/** @type {any} */ (process).execve) === 'function'
}

/** @param {string} node @param {string[]} args */
function runAsChild(node, args) {
  const { spawn } = require('node:child_process')
  const { isatty } = require('node:tty')
  const child = spawn(node, args, { stdio: 'inherit' })
  // A terminal sends its signals to the whole group: the child has them already, and a second Ctrl-C would mean something else.
  const terminal = isatty(0) || isatty(1) || isatty(2)
  for (const signal of FORWARDED) {
    process.on(signal, () => {
      if (!terminal || signal === 'SIGTERM' || signal === 'SIGUSR2') child.kill(signal)
    })
  }
  child.on('error', (error) => {
    process.stderr.write(
      `autovibe: Node 24 could not be started (${error.message}).\n  fix: rm -r ${path.dirname(path.dirname(node))}, then run autovibe again\n`,
    )
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    for (const name of FORWARDED) process.removeAllListeners(name)
    process.kill(process.pid, signal)
  })
}

module.exports = { handOver }
