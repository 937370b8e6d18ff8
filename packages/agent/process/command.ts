/** Runs one shell command to its end: own process group, no input, bounded output, a deadline, and nothing left running behind it. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import process from 'node:process'
import { gatewayEnvironment, proxyEnvironment } from '../egress/environment.ts'
import { enlist, FAMILY_VARIABLE, killFamily, MACHINE_MARK, stoodStillMs } from './family.ts'
import { BoundedOutput } from './tail.ts'

export interface Command {
  readonly program: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** Time in which it stands still does not count. */
  readonly timeoutMs: number
  /** Bytes of output that are kept from its beginning and from its end. */
  readonly headBytes: number
  readonly tailBytes: number
  readonly signal: AbortSignal
}

export interface CommandResult {
  /** Null when it was ended by a signal or could not be started. */
  readonly exitCode: number | null
  readonly signal: string | null
  readonly timedOut: boolean
  /** Standard output and error, in the order they came. */
  readonly output: string
  readonly cutBytes: number
  readonly durationMs: number
}

/** A process that lets go of its pipes late must not hold a run; what it printed until then is kept. */
const PIPES_CLOSE_MS = 1_000

/** A deadline that falls into a standstill is looked at again no sooner than this. */
const LOOK_AGAIN_MS = 1_000

/** The shell of this machine: bash where there is one, because that is what most people mean by a shell command. */
export const SHELL = existsSync('/bin/bash') ? '/bin/bash' : '/bin/sh'

/** Ends when the command has; its background processes are ended with it. A start that fails is a result, not an error. */
export async function runCommand(command: Command): Promise<CommandResult> {
  const startedAt = performance.now()
  const output = new BoundedOutput(command.headBytes, command.tailBytes)
  const mark = randomBytes(12).toString('hex')
  const child = spawn(command.program, command.args, {
    cwd: command.cwd,
    env: { ...command.env, [FAMILY_VARIABLE]: mark },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  child.stdout.on('data', (chunk: Buffer) => output.add(chunk))
  child.stderr.on('data', (chunk: Buffer) => output.add(chunk))

  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    child.once('error', (error) => {
      output.add(Buffer.from(`${error.message}\n`))
      resolve({ code: null, signal: null })
    })
  })
  let timedOut = false
  const discharge = child.pid === undefined ? () => undefined : enlist(child.pid, mark)
  const end = (): void => {
    if (child.pid !== undefined) killFamily(child.pid, mark)
  }
  const atDeadline = (): void => {
    const restMs = command.timeoutMs + (child.pid === undefined ? 0 : stoodStillMs(child.pid)) - (performance.now() - startedAt)
    if (restMs > 1) deadline = setTimeout(atDeadline, Math.max(restMs, LOOK_AGAIN_MS))
    else {
      timedOut = true
      end()
    }
  }
  let deadline = setTimeout(atDeadline, command.timeoutMs)
  command.signal.addEventListener('abort', end, { once: true })
  if (command.signal.aborted) end()

  const { code, signal } = await exited
  clearTimeout(deadline)
  command.signal.removeEventListener('abort', end)
  end()
  discharge()
  if (child.pid !== undefined) await closeWithin(closed, PIPES_CLOSE_MS)
  child.stdout.destroy()
  child.stderr.destroy()
  return { exitCode: code, signal, timedOut, output: output.text(), cutBytes: output.cutBytes, durationMs: Math.round(performance.now() - startedAt) }
}

/** What of the agent's own environment is for others: all but what leads to the Hub. */
export function inheritedEnvironment(): Record<string, string> {
  return Object.fromEntries(Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined && isForCommands(entry[0])))
}

/** What a command of the agent may see; besides, the machine's loopback port. */
export function commandEnvironment(home: string): Record<string, string> {
  const quiet = { TERM: 'dumb', PAGER: 'cat', GIT_PAGER: 'cat', GIT_TERMINAL_PROMPT: '0', NO_COLOR: '1', CI: '1' }
  return { ...inheritedEnvironment(), HOME: home, ...gatewayEnvironment(), ...proxyEnvironment(), ...quiet }
}

function isForCommands(name: string): boolean {
  return name === MACHINE_MARK || (!name.startsWith('AUTOVIBE_') && !name.startsWith('NODE_'))
}

async function closeWithin(closed: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([closed, new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))])
  clearTimeout(timer)
}
