/** The server as a process: prints one JSON line with its address, and ends with SIGTERM, SIGINT or its parent's end of stdin. */
import { fstatSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { AutovibeError, asAutovibeError, EXIT } from '@autovibe/contract'
import { startScriptedModel } from './server.ts'

const USAGE = 'Usage: node packages/scripted-model/main.ts SCRIPT [--port N] [--var NAME=VALUE]...'
const PORT_MAX = 65_535

try {
  const model = await startScriptedModel(readArguments())
  const end = (): void => void model.close().then(() => process.exit(EXIT.ok))
  process.once('SIGTERM', end)
  process.once('SIGINT', end)
  if (stdinEndsWithParent()) process.stdin.resume().once('end', end).once('error', end)
  process.stdout.write(`${JSON.stringify({ url: model.url })}\n`)
} catch (thrown) {
  const error = asAutovibeError(thrown)
  for (const { path, message } of error.errors ?? []) process.stderr.write(`${path}: ${message}\n`)
  process.stderr.write(`${error.message}${error.fix === undefined ? '' : ` ${error.fix}`}\n`)
  if (error.internal !== undefined) process.stderr.write(`${error.internal}\n`)
  process.exitCode = error.exitCode
}

function readArguments(): { script: string; port: number; vars: Record<string, string> } {
  let parsed: { values: { port?: string; var?: string[] }; positionals: string[] }
  try {
    parsed = parseArgs({ allowPositionals: true, options: { port: { type: 'string' }, var: { type: 'string', multiple: true } } })
  } catch (cause) {
    throw new AutovibeError('request.invalid', cause instanceof Error ? cause.message : String(cause), { fix: USAGE, cause })
  }
  const { values, positionals } = parsed
  const [script, ...more] = positionals
  if (script === undefined || more.length > 0) throw new AutovibeError('request.invalid', 'Expected the path of one script.', { fix: USAGE })
  const port = Number(values.port ?? 0)
  if (!Number.isInteger(port) || port < 0 || port > PORT_MAX) {
    throw new AutovibeError('request.invalid', `Expected a port from 0 to ${PORT_MAX}, found ${values.port}.`, { fix: USAGE })
  }
  return { script, port, vars: Object.fromEntries((values.var ?? []).map(readVar)) }
}

function readVar(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw new AutovibeError('request.invalid', `Expected NAME=VALUE after --var, found ${text}.`, { fix: USAGE })
  return [text.slice(0, at), text.slice(at + 1)]
}

/** A pipe or socket ends when its other side dies; /dev/null is at its end from the start and means nothing. */
function stdinEndsWithParent(): boolean {
  const stat = fstatSync(0)
  return stat.isFIFO() || stat.isSocket()
}
