/** Proxmox's own published description of its API: found beside the checkout, loaded once, and asked which method a path names. */
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const FILE = 'pve-api-9.1.3.json'
const VARIABLE = 'AUTOVIBE_PVE_API'

/** Proxmox's dialect of JSON schema, as far as the description uses it. */
export interface Schema {
  readonly type?: string
  readonly optional?: number
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly additionalProperties?: number | Schema
  readonly enum?: readonly (string | number)[]
  readonly pattern?: string
  readonly format?: string | Readonly<Record<string, Schema>>
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly requires?: string
  readonly alias?: string
  readonly keyAlias?: string
  readonly default_key?: number
  readonly oneOf?: readonly Schema[]
  readonly 'instance-types'?: readonly string[]
  readonly 'type-property'?: string
  readonly typetext?: string
}

export interface Permissions {
  readonly user?: string
  readonly check?: Check
}
export type Check = readonly (string | number | readonly string[] | Check)[]

export interface Method {
  readonly path: string
  readonly method: string
  readonly parameters: Schema
  readonly returns: Schema
  readonly permissions?: Permissions
  readonly allowtoken?: number
  readonly protected?: number
  readonly proxyto?: string | null
}

export interface Found {
  readonly method: Method
  readonly pathParameters: Readonly<Record<string, string>>
}

export interface Description {
  /** Where it comes from; null when it is the small table of our own. */
  readonly file: string | null
  readonly methods: readonly Method[]
  /** The method that a path without /api2/json names; undefined is Proxmox's 501. */
  find(method: string, path: string): Found | undefined
}

/** The file named by AUTOVIBE_PVE_API, or the one in shared/proxmox beside the checkout; null when neither is there. */
export function descriptionFile(): string | null {
  const named = process.env[VARIABLE]
  const candidates = named ? [resolve(named)] : ['..', '../../shared/..'].map((up) => resolve(import.meta.dirname, '../..', up, 'shared/proxmox', FILE))
  return candidates.find((path) => existsSync(path)) ?? null
}

/** How to come by the checks that are missing, said once by whoever starts without them. */
export const WITHOUT_DESCRIPTION = `Proxmox's description is not here: requests are checked only against our own table of endpoints. Put ${join('../shared/proxmox', FILE)} beside the checkout, or name the file in ${VARIABLE}.`

export function loadDescription(file: string): Description {
  return describe(JSON.parse(readFileSync(file, 'utf8')) as Method[], file)
}

interface Branch {
  readonly literals: Map<string, Branch>
  readonly methods: Map<string, Method>
  wild?: { readonly name: string; readonly branch: Branch }
}

export function describe(methods: readonly Method[], file: string | null): Description {
  const root = newBranch()
  for (const method of methods) {
    let branch = root
    for (const part of parts(method.path)) branch = child(branch, part)
    branch.methods.set(method.method, method)
  }
  return { file, methods, find: (method, path) => find(root, method, path) }
}

const parts = (path: string): string[] => path.split('/').filter((part) => part !== '')
const newBranch = (): Branch => ({ literals: new Map(), methods: new Map() })

function child(branch: Branch, part: string): Branch {
  const name = /^\{(.+)\}$/.exec(part)?.[1]
  if (name === undefined) {
    const next = branch.literals.get(part) ?? newBranch()
    branch.literals.set(part, next)
    return next
  }
  branch.wild ??= { name, branch: newBranch() }
  return branch.wild.branch
}

function find(root: Branch, method: string, path: string): Found | undefined {
  const pathParameters: Record<string, string> = {}
  const rest = parts(path)
  let branch = root
  for (let index = 0; index < rest.length; index += 1) {
    const part = rest[index] ?? ''
    const literal = branch.literals.get(part)
    if (literal) {
      branch = literal
      continue
    }
    if (!branch.wild) return undefined
    const { name } = branch.wild
    // A volume's name has slashes of its own; Proxmox gives it whatever is left of the path.
    const whole = name === 'volume'
    pathParameters[name] = whole ? rest.slice(index).join('/') : part
    branch = branch.wild.branch
    if (whole) break
  }
  const found = branch.methods.get(method)
  return found ? { method: found, pathParameters } : undefined
}
