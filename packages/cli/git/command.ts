/** Runs git on a repository that is not ours: no hooks, no file-system monitor, no pager, no prompts, no network, none of the caller's GIT_ variables. */
import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AutovibeError } from '@autovibe/contract'

export interface GitOptions {
  readonly cwd: string
  /** A stream is sent no faster than git takes it; its failure ends git, and is thrown. */
  readonly input?: Buffer | string | AsyncIterable<Uint8Array> | undefined
  /** Further variables (GIT_INDEX_FILE …), set after all others were dropped. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Writes standard output to this file instead of keeping it. */
  readonly outputFile?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface GitResult {
  readonly status: number
  readonly stdout: Buffer
  readonly stderr: string
}

/** Runs git and answers its exit status; only a git that cannot be started, or says more than 256 MiB, is an error. */
export function tryGit(args: readonly string[], options: GitOptions): Promise<GitResult> {
  return new Promise((resolve, reject) => {
    const child = spawn('git', [...FIXED, ...args], { cwd: options.cwd, env: gitEnvironment(process.env, options.env), stdio: 'pipe', signal: options.signal })
    const stdout: Buffer[] = []
    const stderr: Buffer[] = []
    let bytes = 0
    const file = options.outputFile === undefined ? undefined : createWriteStream(options.outputFile, { flags: 'wx', mode: 0o600 })
    file?.on('error', reject)
    if (file) child.stdout.pipe(file)
    else
      child.stdout.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes <= OUTPUT_BYTES) stdout.push(chunk)
        else child.kill()
      })
    child.stderr.on('data', (chunk: Buffer) => {
      if (stderr.length < 1000) stderr.push(chunk)
    })
    // A git that ends before it has read its input says why on standard error.
    child.stdin.on('error', () => undefined)
    let failure: unknown = null
    const input = options.input ?? ''
    if (typeof input === 'string' || Buffer.isBuffer(input)) child.stdin.end(input)
    else
      pipeline(Readable.from(input, { objectMode: false }), child.stdin).catch((error: unknown) => {
        if (isOfPipe(error)) return
        failure = error
        child.kill()
      })
    child.on('error', (cause: NodeJS.ErrnoException) => reject(options.signal?.aborted ? options.signal.reason : notRunnable(cause)))
    child.on('close', (status) => {
      if (failure !== null) return reject(failure)
      if (bytes > OUTPUT_BYTES) return reject(new AutovibeError('project.source_invalid', `git ${args[0]} said more than ${OUTPUT_BYTES} bytes.`))
      const done = () => resolve({ status: status ?? -1, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() })
      if (file && !file.writableFinished) file.once('finish', done)
      else done()
    })
  })
}

/** As `tryGit`, with every status but 0 as `project.source_invalid` that repeats git's own words. */
export async function git(args: readonly string[], options: GitOptions): Promise<Buffer> {
  const result = await tryGit(args, options)
  if (result.status !== 0) throw gitFailure(args, result.stderr)
  return result.stdout
}

export const gitText = async (args: readonly string[], options: GitOptions): Promise<string> => (await git(args, options)).toString().replace(/\n$/, '')

export function gitFailure(args: readonly string[], stderr: string): AutovibeError {
  const words = stderr.trim().split('\n').slice(-6).join(' ').slice(0, 1000)
  const unsafe = /safe\.directory/.exec(stderr) !== null
  return new AutovibeError('project.source_invalid', `git ${args[0]} failed: ${words || 'without a word'}`, {
    fix: unsafe ? 'Trust the repository, when it is yours: git config --global --add safe.directory PATH' : undefined,
  })
}

const OF_PIPES: ReadonlySet<unknown> = new Set(['EPIPE', 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'])
const isOfPipe = (error: unknown): boolean => error instanceof Error && 'code' in error && OF_PIPES.has(error.code)

/** Kept in memory; what may be larger goes to an `outputFile`. */
export const OUTPUT_BYTES = 256 * 1024 * 1024

const FIXED = [
  '--no-pager',
  ...['core.hooksPath=/dev/null', 'core.fsmonitor=false', 'core.untrackedCache=false', 'core.splitIndex=false', 'core.quotePath=false'].flatMap((setting) => [
    '-c',
    setting,
  ]),
  ...['gc.auto=0', 'maintenance.auto=false', 'protocol.allow=never', 'commit.gpgSign=false'].flatMap((setting) => ['-c', setting]),
  // Without its filter, LFS neither fetches nor writes into the repository: its files stay the pointers that they are.
  ...['filter.lfs.clean=', 'filter.lfs.smudge=', 'filter.lfs.process=', 'filter.lfs.required=false'].flatMap((setting) => ['-c', setting]),
]

/** Which configuration files are read is the user's choice; every other GIT_ variable could redirect us to another repository. */
const KEPT = new Set(['GIT_CONFIG_GLOBAL', 'GIT_CONFIG_SYSTEM', 'GIT_CONFIG_NOSYSTEM'])

function gitEnvironment(from: NodeJS.ProcessEnv, extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(from).filter(([name]) => !name.startsWith('GIT_') || KEPT.has(name))
  return { ...Object.fromEntries(kept), LC_ALL: 'C', GIT_OPTIONAL_LOCKS: '0', GIT_TERMINAL_PROMPT: '0', GIT_NO_LAZY_FETCH: '1', ...extra }
}

function notRunnable(cause: NodeJS.ErrnoException): AutovibeError {
  if (cause.code === 'ENOENT')
    return new AutovibeError('project.source_invalid', 'git is not installed, or not on the PATH.', {
      cause,
      fix: 'Install git (Debian: apt install git; macOS: xcode-select --install).',
    })
  return new AutovibeError('project.source_invalid', `git cannot be started (${cause.code ?? cause.message}).`, { cause })
}
