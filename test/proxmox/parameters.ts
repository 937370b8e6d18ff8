/** The parameters of one request: gathered from path, query and body as Proxmox gathers them, checked against the description, handed on as strings. */
import { badParameters, percentDecoded, Refusal } from './answers.ts'
import type { Schema } from './description.ts'
import { checkObject, type Errors, propertyOf, type Value } from './schema-check.ts'

export type Raw = Record<string, Value>

/** A form's fields as Proxmox reads them: `;` separates too, whatever follows a second `=` is lost, an empty value is no value, and a repeated key is a list. */
export function decodeForm(text: string): Raw {
  const values: Raw = {}
  for (const pair of text.split(/[&;]/)) {
    if (pair === '') continue
    const [rawKey = '', rawValue] = pair.split('=')
    const key = unescaped(rawKey)
    if (rawValue === undefined || rawValue === '') {
      values[key] = undefined
      continue
    }
    const value = unescaped(rawValue)
    const before = values[key]
    values[key] = before === undefined || before === null ? value : Array.isArray(before) ? [...(before as Value[]), value] : [before, value]
  }
  return values
}

const unescaped = (text: string): string => percentDecoded(text.replaceAll('+', ' '))

export function decodeJson(text: string): Raw {
  try {
    const value = JSON.parse(text) as unknown
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Raw
  } catch (error) {
    throw new Refusal(
      500,
      `malformed JSON string, neither tag, array, object, number, string or atom, at character offset 0 (${error instanceof Error ? error.message : ''})`,
    )
  }
  throw new Refusal(500, 'Not a HASH reference')
}

/** Path and other parameters together; a parameter that contradicts the path is refused before anything else is looked at. */
export function merged(path: Readonly<Record<string, string>>, others: Raw): Raw {
  const values: Raw = { ...path }
  for (const key of Object.keys(others).sort()) {
    if (path[key] !== undefined && path[key] !== String(others[key] ?? ''))
      throw badParameters({ [key]: 'duplicate parameter (already defined in URI) with conflicting values!' })
    values[key] = others[key]
  }
  return values
}

/** Checks everything; answers what handlers read. */
export function checked(raw: Raw, schema: Schema): Parameters {
  const values: Raw = {}
  for (const [key, value] of Object.entries(raw)) values[key] = normalized(value, propertyOf(schema.properties ?? {}, key))
  const errors: Errors = {}
  checkObject(values, schema, '', errors)
  if (Object.keys(errors).length > 0) throw badParameters(errors)
  return new Parameters(values)
}

/** A list given as an array becomes text where text is wanted, and a single value an array where an array is wanted. */
function normalized(value: Value, schema: Schema | undefined): Value {
  if (!schema || value === undefined || value === null || value === '' || value === 0) return value
  if (Array.isArray(value) && schema.type === 'string' && typeof schema.format === 'string' && schema.format.endsWith('-list')) return value.join(',')
  return !Array.isArray(value) && typeof value !== 'object' && schema.type === 'array' ? [value] : value
}

/** Parameters that passed the check. */
export class Parameters {
  readonly #values: ReadonlyMap<string, string | readonly string[]>

  constructor(values: Raw) {
    const scalar = (value: Value): string => (value === true ? '1' : value === false ? '0' : String(value))
    const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null)
    this.#values = new Map(given.map(([key, value]) => [key, Array.isArray(value) ? value.map(scalar) : scalar(value)]))
  }

  get keys(): string[] {
    return [...this.#values.keys()]
  }

  text(key: string): string | undefined {
    const value = this.#values.get(key)
    return typeof value === 'string' ? value : undefined
  }

  /** A parameter that the check has seen to. */
  required(key: string): string {
    const value = this.text(key)
    if (value === undefined) throw new Error(`the stand-in reads ${key} without its being required`)
    return value
  }

  number(key: string): number | undefined {
    const value = this.text(key)
    return value === undefined ? undefined : Number(value)
  }

  flag(key: string): boolean {
    return this.text(key) === '1'
  }

  list(key: string): readonly string[] {
    const value = this.#values.get(key)
    return value === undefined ? [] : typeof value === 'string' ? [value] : value
  }

  /** What a configuration takes: every given parameter but these. */
  without(...names: readonly string[]): Record<string, string> {
    const rest = this.keys.filter((key) => !names.includes(key)).map((key) => [key, this.text(key)] as const)
    return Object.fromEntries(rest.filter((pair): pair is readonly [string, string] => pair[1] !== undefined))
  }
}
