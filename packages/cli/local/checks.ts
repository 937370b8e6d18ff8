/** What this host offers, as far as it can be seen without a Hub. */
import { execFile } from 'node:child_process'
import { access, constants, mkdtemp, rmdir, stat, statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { AutovibeError, type Finding } from '@autovibe/contract'
import { bytes } from '../render/text.ts'
import type { Setting } from '../settings.ts'
import { checkPort, DEFAULT_PORT, findHub } from './hub-process.ts'

const run = promisify(execFile)

export async function localChecks(dataDir: string, port: Setting): Promise<Finding[]> {
  return [checkNode(), await checkGit(), await checkBubblewrap(), await checkDataDir(dataDir), await checkDisk(dataDir), await checkPortFree(dataDir, port)]
}

const finding = (name: string, status: Finding['status'], detail: string, fix: string | null = null): Finding => ({ area: 'host', name, status, detail, fix })

function checkNode(): Finding {
  const major = Number(process.versions.node.split('.')[0])
  return major >= 24
    ? finding('Node', 'ok', process.version)
    : finding('Node', 'failed', `${process.version}, but 24 or newer is needed`, 'Start autovibe by ./autovibe, which brings its own Node.')
}

async function checkGit(): Promise<Finding> {
  try {
    const { stdout } = await run('git', ['--version'])
    return finding('git', 'ok', stdout.trim().replace(/^git version /, ''))
  } catch {
    return finding('git', 'failed', 'not found', 'Install git (Debian: apt install git).')
  }
}

async function checkBubblewrap(): Promise<Finding> {
  if (process.platform !== 'linux')
    return finding(
      'bubblewrap',
      'warning',
      `not available on ${process.platform}: machines are not isolated`,
      'Run autovibe on Linux, or use --allow-unisolated.',
    )
  try {
    const { stdout } = await run('bwrap', ['--version'])
    return finding('bubblewrap', 'ok', stdout.trim())
  } catch {
    return finding(
      'bubblewrap',
      'warning',
      'not found: machines are fenced in partly at best',
      'sudo apt-get install bubblewrap, then autovibe down && autovibe up',
    )
  }
}

async function checkDataDir(dataDir: string): Promise<Finding> {
  const place = await existing(dataDir)
  try {
    await access(place, constants.W_OK)
    // Root may write everywhere, but not every file system takes folders: only making one tells.
    if (place !== dataDir) await rmdir(await mkdtemp(join(place, '.autovibe-')))
  } catch (thrown) {
    return finding('data directory', 'failed', `${place} cannot be written (${(thrown as NodeJS.ErrnoException).code})`, 'Choose another: --data-dir DIR')
  }
  return finding('data directory', 'ok', place === dataDir ? dataDir : `${dataDir} (will be made)`)
}

/** Below this a machine with a few packages in it does not fit. */
const LITTLE_BYTES = 1024 ** 3

async function checkDisk(dataDir: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(await existing(dataDir))
  const free = bavail * bsize
  return free < LITTLE_BYTES
    ? finding('disk', 'warning', `${bytes(free)} free`, 'Free some space, or choose another --data-dir.')
    : finding('disk', 'ok', `${bytes(free)} free`)
}

async function checkPortFree(dataDir: string, { value = DEFAULT_PORT, origin }: Setting): Promise<Finding> {
  let port: string
  try {
    port = checkPort(value, origin)
  } catch (thrown) {
    if (!(thrown instanceof AutovibeError)) throw thrown
    return finding('port', 'failed', thrown.message, thrown.fix)
  }
  const hub = await findHub(dataDir)
  if (hub) return finding('port', 'ok', `the Hub listens at ${hub.url}`)
  const free = await new Promise<boolean>((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(Number(port), '127.0.0.1', () => server.close(() => resolve(true)))
  })
  return free ? finding('port', 'ok', `${port} is free`) : finding('port', 'warning', `${port} is in use by another program`, 'autovibe up --port 7421')
}

/** The nearest folder above that exists. */
async function existing(path: string): Promise<string> {
  const stats = await stat(path).catch(() => undefined)
  return stats || dirname(path) === path ? path : existing(dirname(path))
}
