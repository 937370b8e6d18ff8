/** The Hub as a process of this host: finding, starting and stopping it by its data directory. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { chmod, open, readFile, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { AutovibeError, EXIT, Problem } from '@autovibe/contract'
import { Autovibe } from '@autovibe/sdk'
import { makeFolder } from './folder.ts'

/** `hub.json`, as a ready Hub writes it; no process id for a Hub elsewhere. */
export interface HubFile {
  readonly url: string
  readonly pid: number | null
  readonly version: string
  readonly started_at: string
}

export const DEFAULT_PORT = '7420'
const READY_MS = 60_000
const STOP_MS = 60_000
const POLL_MS = 20
/** With less than this free, a log line may not have found room. */
const FULL_BYTES = 1024 ** 2

export const HUB_MAIN = fileURLToPath(new URL('../../hub/main.ts', import.meta.url))
export const logFile = (dataDir: string): string => join(dataDir, 'hub.log')

/** A Hub that is named by the environment instead of a data directory. */
export function remoteHub(env: NodeJS.ProcessEnv): { url: string; key: string } | undefined {
  const url = env['AUTOVIBE_URL']
  if (url === undefined || url === '') return undefined
  if (!URL.canParse(url)) throw new AutovibeError('request.invalid', `AUTOVIBE_URL is not an address: ${url}`, { fix: 'AUTOVIBE_URL=http://127.0.0.1:7420' })
  const key = env['AUTOVIBE_API_KEY']
  if (key === undefined || key === '')
    throw new AutovibeError('auth.missing', 'AUTOVIBE_URL is set, but AUTOVIBE_API_KEY is not.', { fix: 'Set AUTOVIBE_API_KEY, or unset AUTOVIBE_URL.' })
  return { url, key }
}

/** The Hub of this data directory whose process lives; `currentUrl` reads its file again each time, for one that has been restarted. */
export async function findHub(dataDir: string): Promise<(HubFile & { pid: number; currentUrl: () => string }) | undefined> {
  const hub = readHubFile(dataDir)
  if (!hub || hub.pid === null || !isHubProcess(hub.pid)) return undefined
  return { ...hub, pid: hub.pid, currentUrl: () => readHubFile(dataDir)?.url ?? hub.url }
}

export async function readKey(dataDir: string): Promise<string> {
  const file = join(dataDir, 'api-key')
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (thrown) {
    throw new AutovibeError('auth.missing', `The key of the Hub cannot be read from ${file} (${(thrown as NodeJS.ErrnoException).code}).`, {
      cause: thrown,
      fix: 'Run the command as the user who started the Hub, or set AUTOVIBE_URL and AUTOVIBE_API_KEY.',
    })
  }
}

export interface StartHub {
  readonly dataDir: string
  /** As `checkPort` gave it. */
  readonly port: string
  readonly env: NodeJS.ProcessEnv
  readonly signal: AbortSignal
  readonly onProgress: (text: string) => void
}

export interface StartedHub {
  readonly hub: HubFile
  /** Somebody else's Hub answers; nothing was started. */
  readonly already: boolean
  readonly tookMs: number
}

/** The Hub of the data directory, started if need be, once it answers. Its own reason when it cannot start. */
export async function startHub(start: StartHub): Promise<StartedHub> {
  const startedAt = performance.now()
  const running = await findHub(start.dataDir)
  if (running && (await isHealthy(start.dataDir, running))) return { hub: fileOf(running), already: true, tookMs: 0 }
  await makeDataDir(start.dataDir)

  const log = await open(logFile(start.dataDir), 'a', 0o600).catch((thrown: unknown) => {
    throw notMade(start.dataDir, thrown)
  })
  const logStart = (await log.stat()).size
  // The Hub gets its keys sealed through its API; none of the caller's belongs into its environment.
  const { ANTHROPIC_API_KEY: _key, ANTHROPIC_AUTH_TOKEN: _token, ...env } = start.env
  const child = spawn(process.execPath, [HUB_MAIN, '--data-dir', start.dataDir, '--port', start.port], {
    cwd: start.dataDir,
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    env,
  })
  let ended: { code: number | null } | undefined
  const failed = new Promise<never>((_, reject) => child.once('error', reject))
  failed.catch(() => undefined)
  child.once('exit', (code) => {
    ended = { code }
  })
  child.unref()
  try {
    start.onProgress(`starting the Hub on ${start.dataDir}`)
    while (performance.now() - startedAt < READY_MS) {
      if (start.signal.aborted) {
        // Nobody would know of a Hub that came up after its command has ended.
        child.kill('SIGTERM')
        while (!ended && performance.now() - startedAt < READY_MS) await delay(POLL_MS)
        throw start.signal.reason
      }
      const hub = await findHub(start.dataDir)
      if (hub && (await isHealthy(start.dataDir, hub)))
        return { hub: fileOf(hub), already: hub.pid !== child.pid, tookMs: Math.round(performance.now() - startedAt) }
      if (ended) {
        const reason = await reasonOfDeath(start.dataDir, logStart, ended.code)
        // Whoever was first holds the lock; its Hub is as good as ours.
        if (reason.code !== 'hub.already_running') throw reason
      }
      await Promise.race([delay(POLL_MS), failed])
    }
    throw new AutovibeError('hub.unreachable', `The Hub was not ready within ${READY_MS / 1000} s.`, { fix: `Look into ${logFile(start.dataDir)}` })
  } finally {
    await log.close()
  }
}

/** Asks the Hub to end and waits for it; false when none runs. */
export async function stopHub(dataDir: string, signal: AbortSignal): Promise<boolean> {
  const hub = await findHub(dataDir)
  if (!hub) return false
  process.kill(hub.pid, 'SIGTERM')
  const startedAt = performance.now()
  while (isHubProcess(hub.pid)) {
    if (performance.now() - startedAt > STOP_MS)
      throw new AutovibeError('hub.unreachable', `The Hub (process ${hub.pid}) has not ended within ${STOP_MS / 1000} s.`, {
        fix: `Look into ${logFile(dataDir)}; as a last resort: kill -9 ${hub.pid}`,
      })
    await delay(POLL_MS, undefined, { signal })
  }
  return true
}

/** The text, if it is a port; `origin` says where it stands when it is none. */
export function checkPort(text: string, origin = '--port'): string {
  if (/^[0-9]{1,5}$/.test(text) && Number(text) <= 65_535) return text
  throw new AutovibeError('request.invalid', `${JSON.stringify(text)} is not a port (${origin}).`, {
    fix: `Use a number from 1 to 65535: ${origin === 'AUTOVIBE_PORT' ? 'export AUTOVIBE_PORT=7420' : '--port 7420'}`,
  })
}

/** Makes the data directory, for its owner alone; `request.invalid` where it cannot be, `substrate.disk_full`. */
export async function makeDataDir(dataDir: string): Promise<void> {
  try {
    if (await makeFolder(dataDir, 0o700)) await chmod(dataDir, 0o700)
  } catch (thrown) {
    throw notMade(dataDir, thrown)
  }
}

function notMade(dataDir: string, cause: unknown): AutovibeError {
  const { code, path = dataDir } = cause as NodeJS.ErrnoException
  if (code === 'ENOSPC') return diskFull(dataDir, cause)
  const why = code === 'EEXIST' ? `${path} is no folder` : `${dirname(path)} does not take it (${code})`
  return new AutovibeError('request.invalid', `The data directory ${dataDir} cannot be made: ${why}.`, {
    cause,
    fix: 'Choose a folder that you may write: --data-dir DIR',
  })
}

/** What a Hub that has ended has said last in its log: one problem document on a line of its own. */
export async function reasonOfDeath(dataDir: string, logStart: number, exitCode: number | null): Promise<AutovibeError> {
  const lines = (await readFile(logFile(dataDir))).subarray(logStart).toString().split('\n')
  for (const line of lines.reverse()) {
    if (!line.startsWith('{')) continue
    try {
      const problem = Problem.safeParse(JSON.parse(line))
      if (problem.success) return AutovibeError.fromProblem(problem.data)
    } catch {
      // A line that was cut off in the middle is no document; an earlier one may be.
    }
  }
  // A full disk takes no last words either.
  const { bavail, bsize } = await statfs(dataDir)
  if (bavail * bsize < FULL_BYTES) return diskFull(dataDir)
  const name = Object.entries(EXIT).find(([, code]) => code === exitCode)?.[0] ?? 'unknown'
  return new AutovibeError('hub.unreachable', `The Hub ended while it was starting (exit code ${exitCode ?? 'none'}: ${name}).`, {
    fix: `Look into ${logFile(dataDir)}`,
  })
}

const diskFull = (dataDir: string, cause?: unknown): AutovibeError =>
  new AutovibeError('substrate.disk_full', `The disk of ${dataDir} is full.`, { cause, fix: 'Free some space, or choose another place: --data-dir DIR' })

function readHubFile(dataDir: string): HubFile | undefined {
  try {
    const value = JSON.parse(readFileSync(join(dataDir, 'hub.json'), 'utf8')) as Partial<HubFile>
    if (typeof value.url !== 'string' || typeof value.pid !== 'number' || !URL.canParse(value.url)) return undefined
    return { url: value.url, pid: value.pid, version: String(value.version ?? ''), started_at: String(value.started_at ?? '') }
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR' || thrown instanceof SyntaxError) return undefined
    throw new AutovibeError('auth.missing', `${join(dataDir, 'hub.json')} cannot be read (${code}).`, {
      cause: thrown,
      fix: 'Run the command as the user who started the Hub, or choose another --data-dir.',
    })
  }
}

/** A process id is used again after a crash; so the process must also look like a Hub where the host tells what it runs. */
function isHubProcess(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid < 2) return false
  try {
    process.kill(pid, 0)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  if (process.platform !== 'linux') return true
  try {
    const [, status] = /\) ([A-Z])/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
    return status !== 'Z' && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('hub/main.ts')
  } catch {
    return false // it has ended between the two looks
  }
}

async function isHealthy(dataDir: string, hub: HubFile): Promise<boolean> {
  try {
    await new Autovibe({ url: hub.url, key: await readKey(dataDir) }).hub.health({ signal: AbortSignal.timeout(5_000) })
    return true
  } catch {
    return false // not yet, or no longer: the caller looks again until its deadline
  }
}

const fileOf = ({ url, pid, version, started_at }: HubFile): HubFile => ({ url, pid, version, started_at })
