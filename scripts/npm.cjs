// Runs npm quietly and turns its many ways to fail into one sentence and one fix.
'use strict'
const { spawn } = require('node:child_process')
const path = require('node:path')
const { home, writable } = require('./cache-dir.cjs')
const { LaunchError } = require('./launch-error.cjs')

const QUIET = ['--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error']
/** npm's own waits add up to 70 s before it says that a registry is not there. */
const RETRIES = ['--fetch-retries=3', '--fetch-retry-mintimeout=500', '--fetch-retry-maxtimeout=4000']
const OUTPUT_LIMIT_BYTES = 200_000

/** Runs npm in `cwd` with `node` first on PATH; resolves when it succeeded.
 * @param {{ what: string, args: string[], cwd: string, node: string, cacheDir: string }} call `what` completes "… could not be …" in the error
 * @returns {Promise<void>} */
function npm(call) {
  return new Promise((resolve, reject) => {
    const args = [...call.args, '--prefix', call.cwd, ...QUIET, ...RETRIES]
    const child = spawn('npm', args, { cwd: call.cwd, env: environment(call.node, call.cacheDir), stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const collect = (/** @type {Buffer} */ chunk) => {
      output = (output + chunk.toString('utf8')).slice(-OUTPUT_LIMIT_BYTES)
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.on('error', (error) => reject(explain(call.what, `${/** @type {NodeJS.ErrnoException} */ (error).code ?? error.message} npm`)))
    child.on('close', (code, signal) => (code === 0 ? resolve() : reject(explain(call.what, output || `npm ended with ${signal ?? code}`))))
  })
}

/** @param {string} node @param {string} cacheDir @returns {NodeJS.ProcessEnv} */
function environment(node, cacheDir) {
  const env = { ...process.env }
  // Left behind by an npm that started us; they would point the inner one at the wrong folder.
  for (const name of Object.keys(env)) if (/^npm_(package|lifecycle|config_local_prefix|config_prefix|command)/.test(name)) delete env[name]
  env['PATH'] = [path.dirname(node), env['PATH'], path.dirname(process.execPath)].filter(Boolean).join(path.delimiter)
  const homeDir = home(process.env)
  if (!homeDir || !writable(homeDir)) {
    env['HOME'] = cacheDir
    env['npm_config_cache'] ??= path.join(cacheDir, 'npm')
  }
  return env
}

/** @type {[RegExp, string, string, 1 | 3][]} */
const CAUSES = [
  [/ENOENT npm/, 'there is no npm on PATH', 'install npm (it comes with Node), or run autovibe with Node 24 or newer', 1],
  [/ENOSPC|no space left/i, 'the disk is full', 'free some space: Node 24 and the packages need about 700 MB', 1],
  [
    /EINTEGRITY/,
    'what the registry sent is not what package-lock.json vouches for',
    'npm cache clean --force, then try again; if it stays, the registry or a proxy alters packages',
    1,
  ],
  [
    /CERT|self.signed|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER/,
    'the TLS certificate of the registry is not trusted',
    'export NODE_EXTRA_CA_CERTS=/path/of/your/company-ca.pem',
    1,
  ],
  [
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET|network/i,
    'the npm registry cannot be reached',
    'check the network, the proxy and `npm config get registry` with: npm ping',
    3,
  ],
  [/E40[13]|ENEEDAUTH/, 'the npm registry refuses access', 'npm login, or set another registry with: npm config set registry URL', 1],
  [/E404|ETARGET/, 'the configured npm registry does not have a package that is needed', 'use a complete registry: npm config delete registry', 1],
  [/EACCES|EPERM|EROFS/, 'a folder cannot be written', 'run as the owner of this checkout, and see that ~/.npm belongs to you', 1],
]

/** @param {string} what @param {string} output @returns {InstanceType<typeof LaunchError>} */
function explain(what, output) {
  const known = CAUSES.find(([pattern]) => pattern.test(output))
  if (known) return new LaunchError(`${what}: ${known[1]}.`, known[2], known[3])
  const lines = output.split('\n').filter((line) => line.trim().length > 'npm error'.length && !/^npm warn/i.test(line))
  return new LaunchError(`${what}: npm failed.\n    ${lines.slice(0, 5).join('\n    ')}`, 'npm ci  (shows the whole story)')
}

module.exports = { npm, explain }
