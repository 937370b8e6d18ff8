/** Reads a script file; whatever is wrong with it is found in one go and told with file, line and what is expected. */
import { readFile, stat } from 'node:fs/promises'
import { AutovibeError } from '@autovibe/contract'
import { type Document, LineCounter, parseDocument } from 'yaml'
import { readConversations } from './conversations.ts'
import { Field, type Mistake } from './field.ts'
import { readReply } from './reply.ts'
import { EMPTY_REPLY, type Reply, type Script } from './types.ts'

/** A script is written by hand; a larger file is not one. */
const SCRIPT_BYTES_MAX = 4 * 1024 * 1024
const FIX = 'Correct the file; docs/reference/model-script.md describes every key.'

const KEYS = ['api_key', 'models', 'vars', 'conversations', 'otherwise'] as const

/** The script of a file; `vars` replace those of the file. Throws `script.invalid` with every mistake in `errors`. */
export async function loadScript(path: string, vars: Readonly<Record<string, string>> = {}): Promise<Script> {
  let text: string
  try {
    const { size } = await stat(path)
    if (size > SCRIPT_BYTES_MAX) throw new Error(`it has ${size} bytes, more than ${SCRIPT_BYTES_MAX}`)
    text = await readFile(path, 'utf8')
  } catch (cause) {
    const why = cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? cause.message) : String(cause)
    throw new AutovibeError('script.invalid', `The model script ${path} cannot be read: ${why}.`, {
      cause,
      fix: 'Name a YAML file that exists.',
      errors: [{ path, message: `expected a YAML file, found none that can be read (${why})` }],
    })
  }
  return parseScript(path, text, vars)
}

/** The script of a text; `name` stands for the file in messages. Throws `script.invalid` with every mistake in `errors`. */
export function parseScript(name: string, text: string, vars: Readonly<Record<string, string>> = {}): Script {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const mistakes: Mistake[] = document.errors.map(({ pos, message }) => {
    const { line, col } = lines.linePos(pos[0])
    return { line, column: col, message: `expected valid YAML, found: ${message.replace(/; please use .*$/, '')}` }
  })
  if (mistakes.length > 0) throw invalid(name, mistakes)
  const script = readScript(name, document, lines, mistakes, vars)
  if (script === undefined || mistakes.length > 0) throw invalid(name, mistakes)
  return script
}

function readScript(name: string, document: Document, lines: LineCounter, mistakes: Mistake[], given: Readonly<Record<string, string>>): Script | undefined {
  const vars = new Map<string, string>()
  const root = new Field({ document, lines, mistakes, vars }, document.contents, '', 0)
  const top = root.mapping(KEYS)
  if (top === undefined) return undefined
  // The vars come first wherever they stand, because every later text may name them.
  for (const [key, field] of top.get('vars')?.anyMapping('a mapping of names to texts') ?? []) vars.set(key, field.text() ?? '')
  for (const [key, value] of Object.entries(given)) vars.set(key, value)
  const conversations = top.get('conversations')
  if (conversations === undefined) root.mistake('the key conversations', 'none')
  return {
    name,
    apiKey: top.get('api_key')?.name(),
    models: top
      .get('models')
      ?.list('model names')
      ?.flatMap((item) => item.name() ?? []),
    conversations: (conversations === undefined ? undefined : readConversations(conversations)) ?? [],
    otherwise: readOtherwise(top.get('otherwise')),
  }
}

function readOtherwise(field: Field | undefined): Reply {
  return (field === undefined ? undefined : readReply(field)) ?? { ...EMPTY_REPLY, text: 'ok' }
}

function invalid(name: string, mistakes: readonly Mistake[]): AutovibeError {
  const ordered = mistakes.toSorted((a, b) => a.line - b.line || a.column - b.column)
  const first = ordered[0]
  const many = ordered.length === 1 ? 'a mistake' : `${ordered.length} mistakes, the first`
  return new AutovibeError('script.invalid', `The model script ${name} has ${many} in line ${first?.line ?? 1}: ${first?.message ?? 'it is empty'}.`, {
    fix: FIX,
    errors: ordered.map(({ line, column, message }) => ({ path: `${name}:${line}:${column}`, message })),
  })
}
