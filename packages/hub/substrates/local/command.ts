/** Runs one of the host's tools with a clean environment, a time limit and a bounded memory of what it said. */
import { spawn } from 'node:child_process'
import { AutovibeError } from '@autovibe/contract'

export interface Ran {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

export interface RunOptions {
  readonly timeoutMs: number
  readonly input?: Buffer
  readonly signal?: AbortSignal
  /** Bytes of output that are kept; more ends the tool. */
  readonly maxOutputBytes?: number
}

const DEFAULT_OUTPUT_BYTES = 64 * 1024

/**
 * libmount's newer calls cut an option at 256 bytes, which a stack of layers exceeds; this asks for mount(2).
 * The sbin folders are not on every user's PATH.
 */
export const TOOL_ENV: Readonly<Record<string, string>> = {
  PATH: `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  LC_ALL: 'C',
  LIBMOUNT_FORCE_MOUNT2: 'always',
}

/** The tool's exit code and output. Throws `substrate.unavailable` when it is not installed, `substrate.failed` when it takes too long or says too much. */
export function run(command: string, args: readonly string[], options: RunOptions): Promise<Ran> {
  const { promise, resolve, reject } = Promise.withResolvers<Ran>()
  const child = spawn(command, args, { env: TOOL_ENV, stdio: ['pipe', 'pipe', 'pipe'], cwd: '/' })
  const limit = options.maxOutputBytes ?? DEFAULT_OUTPUT_BYTES
  const out: Buffer[] = []
  let outBytes = 0
  let stderr = ''
  let ended: AutovibeError | undefined
  const end = (error: AutovibeError): void => {
    ended ??= error
    child.kill('SIGKILL')
  }
  const timer = setTimeout(
    () => end(new AutovibeError('substrate.failed', `${command} did not end within ${options.timeoutMs} ms.`, { retryable: true })),
    options.timeoutMs,
  )
  const onAbort = (): void => end(new AutovibeError('operation.cancelled', `${command} was cancelled.`))
  options.signal?.addEventListener('abort', onAbort, { once: true })
  child.stdout.on('data', (chunk: Buffer) => {
    outBytes += chunk.length
    if (outBytes > limit) end(new AutovibeError('substrate.failed', `${command} answered with more than ${limit} bytes.`))
    else out.push(chunk)
  })
  child.stderr.on('data', (chunk: Buffer) => {
    if (stderr.length < DEFAULT_OUTPUT_BYTES) stderr += chunk.toString('utf8')
  })
  // A tool may end without reading its input.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input)
  const settle = (finish: () => void): void => {
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', onAbort)
    finish()
  }
  child.once('error', (error: NodeJS.ErrnoException) =>
    settle(() =>
      reject(
        new AutovibeError('substrate.unavailable', `${command} cannot be run: ${error.code ?? error.message}.`, {
          cause: error,
          retryable: error.code !== 'ENOENT',
        }),
      ),
    ),
  )
  child.once('close', (code) => settle(() => (ended === undefined ? resolve({ code, stdout: Buffer.concat(out), stderr: stderr.trim() }) : reject(ended))))
  if (options.signal?.aborted === true) onAbort()
  return promise
}

/** As `run`, but any exit code other than 0 is thrown. */
export async function runOrThrow(command: string, args: readonly string[], options: RunOptions & { readonly what: string }): Promise<Buffer> {
  const ran = await run(command, args, options)
  if (ran.code === 0) return ran.stdout
  throw toolFailure(options.what, `${command} ended with ${ran.code ?? 'a signal'}: ${ran.stderr}`)
}

/** What a tool's message means to us. */
export function toolFailure(what: string, internal: string): AutovibeError {
  if (/No space left on device|Disk quota exceeded/.test(internal)) return diskFull(what, internal)
  return new AutovibeError('substrate.failed', `${what} failed.`, { internal })
}

/** Any error of a file call as ours: a full disk has its own code. */
export function fileFailure(what: string, error: unknown): AutovibeError {
  if (error instanceof AutovibeError) return error
  const code = (error as NodeJS.ErrnoException).code
  const internal = error instanceof Error ? (error.stack ?? error.message) : String(error)
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(what, internal)
  return new AutovibeError('substrate.failed', `${what} failed${code === undefined ? '' : ` (${code})`}.`, { internal, cause: error })
}

function diskFull(what: string, internal: string): AutovibeError {
  return new AutovibeError('substrate.disk_full', `${what} failed: the disk that holds the data directory is full.`, {
    internal,
    fix: 'Free some space (df -h shows where), then try again.',
  })
}
