/** Settings and where each came from: flag, then environment, project file, user file, default. */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { AutovibeError } from '@autovibe/contract'
import { nearest } from './render/nearest.ts'

const KEYS = ['agent', 'model', 'provider', 'check', 'budget', 'port', 'data_dir'] as const
export type SettingName = (typeof KEYS)[number]

/** A project file comes with somebody's repository, so it may not choose where keys lie or where the Hub listens. */
const PROJECT_KEYS: readonly SettingName[] = ['agent', 'model', 'provider', 'check', 'budget']
export const PROJECT_FILE = '.autovibe.json'

const ENVIRONMENT: Record<SettingName, string> = {
  agent: 'AUTOVIBE_AGENT',
  model: 'AUTOVIBE_MODEL',
  provider: 'AUTOVIBE_PROVIDER',
  check: 'AUTOVIBE_CHECK',
  budget: 'AUTOVIBE_BUDGET',
  port: 'AUTOVIBE_PORT',
  data_dir: 'AUTOVIBE_DATA_DIR',
}

export interface Setting {
  readonly value: string | undefined
  /** For people: "--budget", "AUTOVIBE_BUDGET", a file, "default". */
  readonly origin: string
}

type Values = Partial<Record<SettingName, string>>

export interface SettingsFrom {
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  readonly flags: Partial<Record<SettingName, string | undefined>>
}

export class Settings {
  readonly dataDir: string
  readonly #from: SettingsFrom
  readonly #userFile: string
  readonly #user: Values
  readonly #project: { readonly file: string; readonly values: Values } | undefined

  constructor(from: SettingsFrom, userFile: string, user: Values, project?: { readonly file: string; readonly values: Values }) {
    this.#from = from
    this.#userFile = userFile
    this.#user = user
    this.#project = project
    this.dataDir = resolve(from.cwd, this.get('data_dir').value ?? defaultDataDir(from.env))
  }

  get(name: SettingName): Setting {
    const flag = this.#from.flags[name]
    if (flag !== undefined) return { value: flag, origin: `--${name.replace('_', '-')}` }
    const variable = ENVIRONMENT[name]
    const fromEnv = this.#from.env[variable]
    if (fromEnv !== undefined && fromEnv !== '') return { value: fromEnv, origin: variable }
    const fromProject = this.#project?.values[name]
    if (fromProject !== undefined) return { value: fromProject, origin: this.#project?.file ?? PROJECT_FILE }
    const fromUser = this.#user[name]
    if (fromUser !== undefined) return { value: fromUser, origin: this.#userFile }
    return { value: undefined, origin: 'default' }
  }

  /** The setting, with this value of a flag before all else. */
  withFlag(name: SettingName, flag: string | undefined): Setting {
    return flag === undefined ? this.get(name) : { value: flag, origin: `--${name.replace('_', '-')}` }
  }

  /** The same settings beneath the project file of a checkout, if it has one. */
  inProject(root: string): Settings {
    const file = join(root, PROJECT_FILE)
    const values = readFile(file, PROJECT_KEYS)
    return values === undefined ? this : new Settings(this.#from, this.#userFile, this.#user, { file, values })
  }
}

export function readSettings(from: SettingsFrom): Settings {
  const userFile = join(from.env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'autovibe', 'config.json')
  return new Settings(from, userFile, readFile(userFile, KEYS) ?? {})
}

function defaultDataDir(env: NodeJS.ProcessEnv): string {
  const xdg = env['XDG_DATA_HOME']
  if (xdg?.startsWith('/')) return join(xdg, 'autovibe')
  return process.getuid?.() === 0 ? '/var/lib/autovibe' : join(homedir(), '.local', 'share', 'autovibe')
}

/** The values of a settings file; undefined when there is none, `request.invalid` when it cannot be understood. */
function readFile(file: string, allowed: readonly SettingName[]): Values | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new AutovibeError('request.invalid', `The settings file ${file} cannot be read (${code}).`, {
      cause: thrown,
      fix: `Make ${file} readable, or remove it.`,
    })
  }
  const wrong = (what: string, fix?: string) =>
    new AutovibeError('request.invalid', `The settings file ${file} ${what}.`, { fix: fix ?? `Correct it in ${dirname(file)}, or remove it.` })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (thrown) {
    throw wrong(`is not JSON: ${(thrown as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong('does not hold a JSON object')
  const values: Values = {}
  for (const [name, setting] of Object.entries(value)) {
    if (!(allowed as readonly string[]).includes(name)) {
      const meant = nearest(name, allowed)
      throw wrong(`has an unknown setting "${name}"`, meant === undefined ? `Known settings: ${allowed.join(', ')}` : `Did you mean "${meant}"?`)
    }
    if (typeof setting !== 'string' && typeof setting !== 'number') throw wrong(`has a setting "${name}" that is neither text nor number`)
    values[name as SettingName] = String(setting)
  }
  return values
}
