/** Runs one action: makes its context, turns Ctrl-C into a signal, and whatever is thrown into a message and an exit code. */
import { AutovibeError, asAutovibeError, EXIT } from '@autovibe/contract'
import { Autovibe } from '@autovibe/sdk'
import type { Command, CommanderError } from 'commander'
import type { Action, CommonOptions } from './commands/define.ts'
import type { Context } from './context.ts'
import { EXEC_FAULT, ExitWith } from './exit-with.ts'
import { checkPort, DEFAULT_PORT, findHub, readKey, remoteHub, startHub } from './local/hub-process.ts'
import { VERSION } from './local/version.ts'
import { Output } from './output.ts'
import { renderError } from './render/error.ts'
import { readSettings } from './settings.ts'
import { inWordsOf, usageError } from './usage.ts'
import { commandNames } from './words.ts'

/** Thrown when the person at the keyboard has pressed Ctrl-C. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

export async function execute(command: Command, action: Action<unknown>, args: readonly string[]): Promise<void> {
  const options = command.optsWithGlobals<CommonOptions>()
  const out = new Output({ json: options.json === true, env: process.env, stdout: process.stdout, stderr: process.stderr })
  const interrupt = new AbortController()
  let divert: ((name: 'SIGINT' | 'SIGTERM') => void) | undefined
  const onSignal = (name: 'SIGINT' | 'SIGTERM') => {
    if (divert) return divert(name)
    // A second Ctrl-C does not wait for anything.
    if (interrupt.signal.aborted) process.exit(EXIT.interrupted)
    interrupt.abort(new Interrupted('Interrupted.'))
  }
  const divertSignals: Context['divertSignals'] = (to) => {
    divert = to
  }
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
  try {
    const code = await action({ ...makeContext(options, out, interrupt.signal), divertSignals }, args, options)
    await out.flush()
    process.exitCode = code ?? EXIT.ok
  } catch (caught) {
    const { thrown, exitCode } = caught instanceof ExitWith ? { thrown: caught.cause, exitCode: caught.exitCode } : { thrown: caught, exitCode: undefined }
    out.endLive()
    process.exitCode =
      interrupt.signal.aborted && !(thrown instanceof AutovibeError)
        ? EXIT.interrupted
        : report(thrown instanceof AutovibeError ? inWordsOf(command, thrown) : thrown, out)
    process.exitCode = exitCode ?? process.exitCode
    await out.flush()
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
  // Nothing may keep a finished command alive: not an idle connection, not a terminal that is still listened to.
  process.exit()
}

/** A mistake in the command line, as the parser tells it. */
export function reportUsage(error: CommanderError, args: readonly string[], program: Command): void {
  const out = new Output({ json: args.includes('--json'), env: process.env, stdout: process.stdout, stderr: process.stderr })
  const code = report(usageError(error, args, program), out)
  // The exit codes of exec belong to the command inside the machine, but for this one.
  process.exitCode = commandNames(args, program)[0] === 'exec' ? EXEC_FAULT : code
}

function report(thrown: unknown, out: Output): number {
  const error = asAutovibeError(thrown)
  const shown =
    thrown instanceof AutovibeError
      ? error
      : new AutovibeError('internal', `Something went wrong inside the command: ${thrown instanceof Error ? thrown.message : String(thrown)}`, {
          fix: 'autovibe doctor',
        })
  if (out.json) out.problem(shown.toProblem(shown.requestId))
  else for (const line of renderError(shown, out.paint)) out.note(line)
  if (process.env['AUTOVIBE_DEBUG'] !== undefined && thrown instanceof Error) out.note(thrown.stack ?? '')
  return error.exitCode
}

function makeContext(options: CommonOptions, out: Output, signal: AbortSignal): Omit<Context, 'divertSignals'> {
  const settings = readSettings({ env: process.env, cwd: process.cwd(), flags: { data_dir: options.dataDir } })
  const dataDir = settings.dataDir
  const clientOf = async (url: string | (() => string), key: string) => new Autovibe({ url, key, userAgent: `autovibe-cli/${VERSION}` })
  return {
    out,
    env: process.env,
    cwd: process.cwd(),
    dataDir,
    settings,
    signal,
    async connect() {
      const remote = remoteHub(process.env)
      if (remote) return clientOf(remote.url, remote.key)
      const hub = await findHub(dataDir)
      if (!hub) throw new AutovibeError('hub.unreachable', `No Hub runs on ${dataDir}.`, { fix: 'autovibe up' })
      return clientOf(hub.currentUrl, await readKey(dataDir))
    },
    async ensureHub(flag) {
      // Also where a Hub runs already and needs none: a mistake that is told only now and then is found late.
      const { value = DEFAULT_PORT, origin } = settings.withFlag('port', flag)
      const port = checkPort(value, origin)
      const remote = remoteHub(process.env)
      if (remote) return { client: await clientOf(remote.url, remote.key), hub: { url: remote.url, pid: null, version: '', started_at: '' }, startedMs: null }
      const started = await startHub({ dataDir, port, env: process.env, signal, onProgress: (text) => out.live(text) })
      out.endLive()
      const running = await findHub(dataDir)
      const client = await clientOf(running?.currentUrl ?? started.hub.url, await readKey(dataDir))
      return { client, hub: started.hub, startedMs: started.already ? null : started.tookMs }
    },
  }
}
