// Where the fetched Node and the compile cache live: the user's cache folder, or the checkout itself when there is no usable home.
'use strict'
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { LaunchError } = require('./launch-error.cjs')

/** The first folder of AUTOVIBE_CACHE_DIR, XDG_CACHE_HOME, ~/.cache and the checkout that can be written.
 * A folder that was named explicitly is never passed over in silence.
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 * @returns {string} */
function findCacheDir(root, env) {
  const named = env['AUTOVIBE_CACHE_DIR']
  if (named) {
    const dir = path.join(path.resolve(named), 'autovibe')
    if (writable(dir)) return dir
    throw new LaunchError(`The cache folder AUTOVIBE_CACHE_DIR=${named} cannot be written.`, 'name a folder that you may write, or unset AUTOVIBE_CACHE_DIR')
  }
  const candidates = [absolute(env['XDG_CACHE_HOME'], 'autovibe'), absolute(home(env), '.cache/autovibe')]
  for (const dir of candidates) if (dir && writable(dir)) return dir
  const inside = path.join(root, '.autovibe', 'cache')
  if (writable(inside)) return inside
  throw new LaunchError(
    `No cache folder can be written (tried ${[...candidates, inside].filter(Boolean).join(', ')}).`,
    'export AUTOVIBE_CACHE_DIR=/a/folder/you/may/write',
  )
}

/** The user's home, when there is such a folder; npm needs one too. @param {NodeJS.ProcessEnv} env @returns {string | undefined} */
function home(env) {
  try {
    const dir = env['HOME'] ?? os.homedir()
    return path.isAbsolute(dir) && fs.existsSync(dir) ? dir : undefined
  } catch {
    // A user id without an entry in the password file has no home: that is an answer, not a failure.
    return undefined
  }
}

/** @param {string | undefined} base @param {string} name @returns {string | undefined} */
function absolute(base, name) {
  return base && path.isAbsolute(base) ? path.join(base, name) : undefined
}

/** Whether `dir` can be written, creating it when it is missing. @param {string} dir @returns {boolean} */
function writable(dir) {
  try {
    create(dir)
    fs.accessSync(dir, fs.constants.W_OK | fs.constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Not mkdir's own `recursive`, which never ends below /proc. Only the owner may write into what is created, whatever the umask: programs are run from there.
 * @param {string} dir */
function create(dir) {
  try {
    fs.mkdirSync(dir, { mode: 0o755 })
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error)
    if (code === 'EEXIST') return
    const parent = path.dirname(dir)
    if (code !== 'ENOENT' || parent === dir || fs.existsSync(parent)) throw error
    create(parent)
    create(dir)
  }
}

module.exports = { findCacheDir, home, writable }
