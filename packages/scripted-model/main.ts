/** The server as a process: prints one JSON line with its address, and ends with SIGTERM, SIGINT or its parent's end of stdin. */
import { fstatSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { AutovibeError, asAutovibeError, EXIT } from '@autovibe/contract'
import { startScriptedModel } from './server.ts'

const COMMAND = 'node packages/scripted-model/main.cjs'
const USAGE = `Usage: ${COMMAND} [options] <script>`
const HELP = `${USAGE}

Serve a model that answers from a script.

It speaks the Anthropic Messages wire on 127.0.0.1 and prints its address as one
line of JSON. Ends with Ctrl-C, SIGTERM, or the end of a standard input that is
a pipe.

Arguments:
  script              a YAML file (docs/reference/model-script.md says what is in
                      it), for instance packages/scripted-model/scripts/demo.yaml

Options:
  --port <port>       the port to listen on (0, the default, takes a free one)
  --var <name=value>  replaces one of the script's vars; may be repeated
  -h, --help          show this help

Make it a provider, and use it:
  ./autovibe provider set scripted --base-url URL --default-model claude-sonnet-5 --simulated --no-key
  ./autovibe run "PROMPT" --project PATH --provider scripted --budget 1.00
`
const PORT_MAX = 65_535

try {
  const wish = readArguments()
  if (wish === 'help') process.stdout.write(HELP)
  else await serve(wish)
} catch (thrown) {
  const error = asAutovibeError(thrown)
  for (const { path, message } of error.errors ?? []) process.stderr.write(`${path}: ${message}\n`)
  process.stderr.write(`✗ ${error.message} (${error.code})\n`)
  if (error.code === 'request.invalid') process.stderr.write(`  ${USAGE}\n`)
  if (error.fix !== undefined) process.stderr.write(`  Fix: ${error.fix}\n`)
  if (error.internal !== undefined) process.stderr.write(`${error.internal}\n`)
  process.exitCode = error.exitCode
}

interface Wish {
  readonly script: string
  readonly port: number
  readonly vars: Record<string, string>
}

async function serve(wish: Wish): Promise<void> {
  const model = await startScriptedModel(wish)
  const end = (): void => void model.close().then(() => process.exit(EXIT.ok))
  process.once('SIGTERM', end)
  process.once('SIGINT', end)
  if (stdinEndsWithParent()) process.stdin.resume().once('end', end).once('error', end)
  process.stdout.write(`${JSON.stringify({ url: model.url })}\n`)
}

function readArguments(): Wish | 'help' {
  let parsed: { values: { port?: string; var?: string[]; help?: boolean }; positionals: string[] }
  try {
    const options = { port: { type: 'string' }, var: { type: 'string', multiple: true }, help: { type: 'boolean', short: 'h' } } as const
    parsed = parseArgs({ allowPositionals: true, options })
  } catch (cause) {
    // Node's sentence names the option, and goes on with advice that is not ours.
    const [why] = (cause as Error).message.split('. ')
    throw new AutovibeError('request.invalid', `${why}.`, { fix: `${COMMAND} --help`, cause })
  }
  const { values, positionals } = parsed
  if (values.help === true) return 'help'
  const [script, ...more] = positionals
  if (script === undefined || more.length > 0) {
    const found = script === undefined ? 'none' : `${more.length + 1}`
    throw new AutovibeError('request.invalid', `Expected the path of one script, found ${found}.`, {
      fix: `${COMMAND} packages/scripted-model/scripts/demo.yaml`,
    })
  }
  const port = Number(values.port ?? 0)
  if (!Number.isInteger(port) || port < 0 || port > PORT_MAX) {
    throw new AutovibeError('request.invalid', `Expected a port from 0 to ${PORT_MAX}, found ${values.port}.`, { fix: '--port 0 takes a free one.' })
  }
  return { script, port, vars: Object.fromEntries((values.var ?? []).map(readVar)) }
}

function readVar(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw new AutovibeError('request.invalid', `Expected NAME=VALUE after --var, found ${text}.`, { fix: '--var project=/machine/project' })
  return [text.slice(0, at), text.slice(at + 1)]
}

/** A pipe or socket ends when its other side dies; /dev/null is at its end from the start and means nothing. */
function stdinEndsWithParent(): boolean {
  const stat = fstatSync(0)
  return stat.isFIFO() || stat.isSocket()
}
