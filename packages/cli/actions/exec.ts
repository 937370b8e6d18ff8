/** Runs a command inside a machine, with its streams, signals, terminal and exit code as if it ran here. */
import { spawnSync } from 'node:child_process'
import { AutovibeError, type CreateExec, type TerminalSize } from '@autovibe/contract'
import { ExecError, type ExecProcess } from '@autovibe/sdk'
import type { Action } from '../commands/define.ts'
import type { ExecCommandOptions } from '../commands/exec.ts'
import type { Context } from '../context.ts'
import { EXEC_FAULT, ExitWith } from '../exit-with.ts'
import { quote } from '../git/repository.ts'
import { Kept } from '../local/kept.ts'
import { resolveMachine } from '../resolve.ts'

const STTY_MS = 2_000

export const exec: Action<ExecCommandOptions> = async (context, [ref = '', ...command], options) => {
  try {
    return await execute(context, ref, requestOf(ref, command, options, context))
  } catch (thrown) {
    throw new ExitWith(thrown instanceof ExecError ? thrown.commandExitCode : EXEC_FAULT, thrown)
  }
}

async function execute(context: Context, ref: string, request: CreateExec): Promise<number> {
  const client = await context.connect()
  const { signal, out } = context
  const machine = await resolveMachine(client, ref, { signal })
  const startedAt = performance.now()
  const remote = await client.machines.exec(machine.id, request, { signal })
  context.divertSignals((name) => remote.signal(name))
  const giveBack = takeTerminal(request, remote)
  const [stdout, stderr] = [new Kept(), new Kept()]
  try {
    if (request.stdin) sendInput(remote)
    const read = (stream: ReadableStream<Uint8Array>, kept: Kept, to: NodeJS.WriteStream) => (out.json ? keep(stream, kept) : print(stream, to))
    await Promise.all([read(remote.stdout, stdout, process.stdout), read(remote.stderr, stderr, process.stderr)])
    const { exitCode, signal: by } = await remote.exit
    out.record({
      exec_id: remote.id,
      machine_id: machine.id,
      exit_code: exitCode,
      signal: by,
      duration_ms: Math.round(performance.now() - startedAt),
      ...stdout.as('stdout'),
      ...stderr.as('stderr'),
    })
    return exitCode
  } finally {
    giveBack()
    remote.close()
  }
}

function requestOf(machine: string, command: readonly string[], options: ExecCommandOptions, { env, out }: Context): CreateExec {
  const { tty = false, interactive = false } = options
  // A shell that can be told nothing would only end.
  if (command.length === 0 && !interactive)
    throw new AutovibeError('request.invalid', 'Name the command that shall run there, or -it for a shell.', { fix: `autovibe exec -it ${quote(machine)}` })
  if (tty && interactive && (process.stdin.isTTY !== true || out.json))
    throw new AutovibeError(
      'request.invalid',
      out.json ? '--json keeps what is said for the end, so nobody could answer.' : 'Standard input is not a terminal.',
      {
        fix: 'Leave out --tty: autovibe exec -i MACHINE -- COMMAND',
      },
    )
  const term = env['TERM']
  return {
    command: [...command],
    tty,
    stdin: interactive,
    cwd: options.cwd ?? null,
    env: { ...(tty && term !== undefined ? { TERM: term } : {}), ...Object.fromEntries((options.env ?? []).flatMap((given) => variableOf(given, env))) },
    size: tty ? sizeHere() : null,
  }
}

/** `NAME=VALUE`, or `NAME` with the value that it has here; one that has none here has none there either. */
function variableOf(given: string, env: NodeJS.ProcessEnv): [string, string][] {
  const at = given.indexOf('=')
  const name = at < 0 ? given : given.slice(0, at)
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    throw new AutovibeError('request.invalid', `${JSON.stringify(given)} does not begin with the name of a variable.`, {
      fix: 'autovibe exec --env NAME=VALUE MACHINE -- COMMAND',
    })
  const value = at < 0 ? env[name] : given.slice(at + 1)
  return value === undefined ? [] : [[name, value]]
}

function sizeHere(): TerminalSize | null {
  const { rows, columns: cols } = process.stdout
  return process.stdout.isTTY && rows > 0 && cols > 0 ? { rows: Math.min(rows, 1000), cols: Math.min(cols, 1000) } : null
}

/** Makes the terminal here a mere window of the one there; the answer gives it back. */
function takeTerminal(request: CreateExec, remote: ExecProcess): () => void {
  if (!request.tty) return () => undefined
  const resize = (): void => {
    const size = sizeHere()
    if (size) remote.resize(size)
  }
  const giveBack = (): void => {
    if (request.stdin) process.stdin.setRawMode(false)
  }
  process.stdout.on('resize', resize)
  if (request.stdin) {
    process.stdin.setRawMode(true)
    // Node's raw mode still makes a new line of each line feed, and there already is one. Where stty is missing, it looks the same.
    spawnSync('stty', ['-opost'], { stdio: ['inherit', 'ignore', 'ignore'], timeout: STTY_MS })
  }
  // However the command ends: a shell in a raw terminal is of no use.
  process.on('exit', giveBack)
  return () => {
    process.stdout.off('resize', resize)
    process.off('exit', giveBack)
    giveBack()
  }
}

/** Sends what comes on standard input, no faster than it is taken there; nobody waits for its end. */
function sendInput(remote: ExecProcess): void {
  const writer = remote.stdin.getWriter()
  void (async () => {
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) await writer.write(new Uint8Array(chunk))
    await writer.close()
  })().catch((error: unknown) => remote.close(error))
}

async function print(stream: ReadableStream<Uint8Array>, to: NodeJS.WriteStream): Promise<void> {
  for await (const chunk of stream) if (!to.write(chunk)) await new Promise<void>((resolve) => to.once('drain', resolve))
}

async function keep(stream: ReadableStream<Uint8Array>, kept: Kept): Promise<void> {
  for await (const chunk of stream) kept.add(chunk)
}
