// What `./autovibe` and `npm test` do before any TypeScript runs: Node 24, the packages, the hand-over. Plain JavaScript, because an older Node runs it.
'use strict'
const path = require('node:path')
const { LaunchError } = require('./launch-error.cjs')

const root = path.dirname(__dirname)

/** Runs `file` (relative to the checkout) under Node 24; never rejects, a failure is printed with its fix and becomes the exit code.
 * @param {string} file
 * @param {string[]} args */
async function launch(file, args) {
  try {
    const { findCacheDir } = require('./cache-dir.cjs')
    const cacheDir = findCacheDir(root, process.env)
    const { currentNodeIsEnough, fetchedNode } = require('./node24.cjs')
    const node = currentNodeIsEnough() ? process.execPath : await fetchedNode(cacheDir)
    const { packagesAreInstalled, installPackages } = require('./packages.cjs')
    if (!packagesAreInstalled(root)) await installPackages(root, node)
    const { handOver } = require('./hand-over.cjs')
    handOver(node, path.resolve(root, file), args, cacheDir)
  } catch (error) {
    if (!(error instanceof LaunchError)) throw error
    process.stderr.write(`autovibe: ${error.message}\n  fix: ${error.fix}\n`)
    process.exitCode = error.exitCode
  }
}

module.exports = { launch }
