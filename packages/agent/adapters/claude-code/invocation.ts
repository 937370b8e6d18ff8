/** One invocation of the Claude Code binary: started behind the gate, read line by line, frozen and ended with all that it started. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import process from 'node:process'
import { proxyEnvironment } from '../../egress/environment.ts'
import { log } from '../../log.ts'
import { continueFamily, enlist, FAMILY_VARIABLE, killFamily, MACHINE_MARK, stopFamily } from '../../process/family.ts'
import { BoundedOutput } from '../../process/tail.ts'
import type { AgentHost } from '../adapter.ts'
import { parseKeeping } from './cost.ts'
import { freezerOf } from './freezer.ts'
import { LineSplitter } from './lines.ts'
import { hasResult, sessionFile } from './session-file.ts'
import type { Result, StreamReader } from './stream.ts'

export interface Invocation {
  readonly binary: string
  readonly args: readonly string[]
  /** Given on standard input: an argument may not be longer than 128 KiB on Linux. */
  readonly prompt: string
}

export interface Watcher {
  session(id: string): Promise<void>
  /** A step has ended and no tool is open. */
  stepEnded(index: number): Promise<void>
  /** True ends the invocation. */
  isTooMany(index: number): boolean
}

export interface InvocationEnd {
  readonly result: Result | undefined
  /** The end of what it wrote to standard error. */
  readonly errorText: string
  readonly exitCode: number | null
  readonly stoppedForSteps: boolean
}

/** What Claude Code was last heard to say that a session must hold to be gone on with. */
interface Spoken {
  session: string | null
  result: string | null
}

export async function invoke(what: Invocation, reader: StreamReader, host: AgentHost, watcher: Watcher): Promise<InvocationEnd> {
  await host.gate.pass(host.signal)
  const mark = randomBytes(12).toString('hex')
  const child = spawn(what.binary, what.args, {
    cwd: host.paths.project,
    env: { ...environment(host), [FAMILY_VARIABLE]: mark },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => resolve(code))
    child.once('error', (error) => {
      errors.add(Buffer.from(error.message))
      resolve(null)
    })
  })
  const errors = new BoundedOutput(0, 4_000)
  child.stderr.on('data', (chunk: Buffer) => errors.add(chunk))
  // It may end before it has read all; how it ended says why.
  child.stdin.on('error', (error) => log('the prompt was not read to its end', { reason: error.message }))
  child.stdin.end(what.prompt)

  const { pid } = child
  const kill = (): void => {
    if (pid !== undefined) killFamily(pid, mark)
  }
  const spoken: Spoken = { session: null, result: null }
  const isWritten = async (): Promise<boolean | null> =>
    spoken.session === null || spoken.result === null ? null : hasResult(sessionFile(host.paths.home, host.paths.project, spoken.session), spoken.result)
  if (pid !== undefined) host.gate.attach(freezerOf({ stop: () => stopFamily(pid, mark), goOn: () => continueFamily(pid, mark), isWritten }))
  const discharge = pid === undefined ? () => undefined : enlist(pid, mark)
  host.signal.addEventListener('abort', kill, { once: true })
  if (host.signal.aborted) kill()
  try {
    const told = await follow(child.stdout, reader, host, watcher, kill, spoken)
    const exitCode = await exited
    host.signal.throwIfAborted()
    return { ...told, exitCode, errorText: errors.text().trim() }
  } finally {
    host.signal.removeEventListener('abort', kill)
    kill()
    discharge()
    host.gate.detach()
  }
}

/** Reads to the end of the output. It blocks on the gate only while no tool is open, because whoever holds the gate waits for the open ones. */
async function follow(
  output: AsyncIterable<Buffer>,
  reader: StreamReader,
  host: AgentHost,
  watcher: Watcher,
  kill: () => void,
  spoken: Spoken,
): Promise<Pick<InvocationEnd, 'result' | 'stoppedForSteps'>> {
  let result: Result | undefined
  let openTools = 0
  let stoppedForSteps = false
  let filesChanged = false
  let endedStep: number | undefined

  const apply = async (happenings: ReturnType<StreamReader['read']>): Promise<void> => {
    for (const happening of happenings) {
      switch (happening.kind) {
        case 'event':
          if (happening.event.type === 'step.started' && watcher.isTooMany(happening.event.index)) {
            stoppedForSteps = true
            return kill()
          }
          host.emit(happening.event)
          break
        case 'session':
          spoken.session = happening.id
          await watcher.session(happening.id)
          break
        case 'tool-opened':
          if (openTools === 0 && happening.command !== null && host.isRisky(happening.command)) await beforeRisky(happening.command, filesChanged, host)
          openTools++
          host.gate.occupy()
          break
        case 'tool-closed':
          openTools--
          spoken.result = happening.result ?? spoken.result
          host.gate.leave()
          break
        case 'step-ended':
          filesChanged ||= happening.filesChanged
          endedStep = happening.index
          break
        case 'result':
          result = happening.result
          break
      }
    }
    if (openTools > 0 || endedStep === undefined) return
    await watcher.stepEnded(endedStep)
    await host.quietPoint({ kind: 'step-ended', filesChanged })
    endedStep = undefined
    filesChanged = false
  }

  const lines: string[] = []
  const splitter = new LineSplitter((line) => lines.push(line))
  const drain = async (): Promise<void> => {
    for (const line of lines.splice(0)) {
      if (stoppedForSteps) return
      await apply(read(reader, line))
    }
  }
  try {
    for await (const chunk of output) {
      splitter.add(chunk)
      await drain()
    }
    splitter.end()
    await drain()
    if (splitter.skipped > 0) log('lines of Claude Code were too long and left out', { lines: splitter.skipped })
    await apply(reader.end())
    return { result, stoppedForSteps }
  } finally {
    for (; openTools > 0; openTools--) host.gate.leave()
  }
}

/** The command is already on its way: the process is frozen first, and the checkpoint comes before the command in nearly every case. */
async function beforeRisky(command: string, filesChanged: boolean, host: AgentHost): Promise<void> {
  try {
    await host.gate.hold(host.signal)
    await host.quietPoint({ kind: 'before-command', command, filesChanged })
  } finally {
    await host.gate.release()
  }
}

function read(reader: StreamReader, line: string): ReturnType<StreamReader['read']> {
  try {
    return reader.read(parseKeeping(line, 'total_cost_usd'))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    log('a line of Claude Code was not JSON', { line: line.slice(0, 200) })
    return []
  }
}

function environment(host: AgentHost): Record<string, string> {
  const mark = process.env[MACHINE_MARK]
  return {
    ...(mark === undefined ? {} : { [MACHINE_MARK]: mark }),
    HOME: host.paths.home,
    PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
    LANG: process.env['LANG'] ?? 'C.UTF-8',
    // Its own calls go over the socket; the commands that it runs inherit the way out.
    ...proxyEnvironment('hub'),
    ANTHROPIC_BASE_URL: 'http://hub/gateway',
    ANTHROPIC_UNIX_SOCKET: host.paths.socket,
    ANTHROPIC_AUTH_TOKEN: host.token,
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
    DISABLE_AUTOUPDATER: '1',
    // It refuses to work without questions as root unless it is told that the machine is meant for it.
    IS_SANDBOX: '1',
    GIT_TERMINAL_PROMPT: '0',
    ...ofTheFence(),
  }
}

/** What a machine without a root folder of its own was told: it has no /tmp, and of git's ways to look upwards there are none. */
function ofTheFence(): Record<string, string> {
  const { TMPDIR: temporary } = process.env
  const git = ['GIT_CONFIG_NOSYSTEM', 'GIT_CEILING_DIRECTORIES'].flatMap((name) => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return { ...Object.fromEntries(git), ...(temporary === undefined ? {} : { TMPDIR: temporary, CLAUDE_CODE_TMPDIR: temporary }) }
}
