/** `pveum` on the stand-in: the lines that an administrator would type as root, each through the API's own checks. */
import { ROOT } from './access.ts'
import { notImplemented } from './answers.ts'
import { invoke, type Site } from './invoke.ts'
import type { Raw } from './parameters.ts'

interface Command {
  readonly method: string
  readonly path: string
  /** Arguments without a name, in order. */
  readonly positional: readonly string[]
}

const COMMANDS: Readonly<Record<string, Command>> = {
  'user token add': { method: 'POST', path: '/access/users/{userid}/token/{tokenid}', positional: ['userid', 'tokenid'] },
  'user token remove': { method: 'DELETE', path: '/access/users/{userid}/token/{tokenid}', positional: ['userid', 'tokenid'] },
  'user add': { method: 'POST', path: '/access/users', positional: ['userid'] },
  'role add': { method: 'POST', path: '/access/roles', positional: ['roleid'] },
  'role modify': { method: 'PUT', path: '/access/roles/{roleid}', positional: ['roleid'] },
  'acl modify': { method: 'PUT', path: '/access/acl', positional: ['path'] },
  'pool modify': { method: 'PUT', path: '/pools', positional: ['poolid'] },
  'pool add': { method: 'POST', path: '/pools', positional: ['poolid'] },
}

/** Runs one line, `pveum role add Hub --privs "VM.Audit VM.Clone"`; answers what the API answers, a token's secret among it. */
export async function pveum(site: Site, door: string, line: string): Promise<unknown> {
  const words = wordsOf(line)
  if (words[0] !== 'pveum') throw new Error(`not a line of pveum: ${line}`)
  const [name, command] = Object.entries(COMMANDS).find(([key]) => `${words.slice(1).join(' ')} `.startsWith(`${key} `)) ?? []
  if (name === undefined || !command) throw new Error(`the stand-in does not know this command of pveum: ${line}`)
  const parameters = argumentsOf(words.slice(1 + name.split(' ').length), command)
  const path = command.path.replaceAll(/\{([^{}]+)\}/g, (_, key: string) => String(parameters[key] ?? ''))
  const found = site.description.find(command.method, path)
  if (!found) throw notImplemented(command.method, path)
  const { data } = await invoke({ site, door, found, who: ROOT, byToken: false, received: { parameters, file: null }, fault: null, path })
  return data
}

function argumentsOf(words: readonly string[], command: Command): Raw {
  const parameters: Raw = {}
  const bare: string[] = []
  for (let index = 0; index < words.length; index += 1) {
    const [, key, value] = /^--?([a-z][a-z-]*)(?:=(.*))?$/s.exec(words[index] ?? '') ?? []
    if (key === undefined) bare.push(words[index] ?? '')
    else if (value !== undefined) parameters[key] = value
    else {
      index += 1
      parameters[key] = words[index]
    }
  }
  for (const [index, value] of bare.entries()) {
    const key = command.positional[index]
    if (key === undefined) throw new Error(`too many arguments: ${value}`)
    parameters[key] = value
  }
  return parameters
}

/** As a shell takes a line apart: blanks, single and double quotes. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g)].map(([word]) =>
    word.replaceAll(/"([^"]*)"|'([^']*)'/g, (_, double?: string, single?: string) => double ?? single ?? ''),
  )
}
