/** Runs a command to its end and says how long it took. */
import { spawn } from 'node:child_process'

export interface Timed {
  readonly ms: number
  readonly stdout: string
}

export interface CommandOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly timeoutMs?: number
  /** Called with its process id as soon as it runs. */
  readonly started?: (pid: number) => void
}

const OUTPUT_LIMIT_BYTES = 4 * 1024 * 1024

/** From the call to the exit, in ms. Rejects with the end of what it said when it fails or takes longer than `timeoutMs` (60 s). */
export function timed(command: string, args: readonly string[], options: CommandOptions = {}): Promise<Timed> {
  const { timeoutMs = 60_000, started, ...rest } = options
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs, ...rest })
    if (child.pid !== undefined) started?.(child.pid)
    let stdout = ''
    let stderr = ''
    let ms = 0
    child.stdout.on('data', (chunk: Buffer) => {
      if (stdout.length < OUTPUT_LIMIT_BYTES) stdout += chunk.toString()
    })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString()).slice(-4096)
    })
    child.once('error', reject)
    child.once('exit', () => {
      ms = performance.now() - startedAt
    })
    child.once('close', (code, signal) => {
      if (code === 0) resolve({ ms, stdout })
      else reject(new Error(`${command} ${args.join(' ')} ended with ${signal ?? code}: ${stderr.trim()}`))
    })
  })
}

/** The same command several times, one after the other; the durations in ms. */
export async function repeated(times: number, command: string, args: readonly string[], options: CommandOptions = {}): Promise<number[]> {
  const samples: number[] = []
  for (let time = 0; time < times; time++) samples.push((await timed(command, args, options)).ms)
  return samples
}
