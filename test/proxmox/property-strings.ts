/** Proxmox's `key=value,key=value` strings: taken apart by their schema, put together again, and the schema itself read from its one-line text where the description holds no more. */
import type { Schema } from './description.ts'

export type Keys = Readonly<Record<string, Schema>>

export interface Parsed {
  readonly values: Record<string, string>
  /** The complaint about its form, before any value is looked at. */
  readonly complaint: string | null
}

/** Takes a property string apart; later checks look at the values. */
export function parsePropertyString(keys: Keys, text: string): Parsed {
  const values: Record<string, string> = {}
  const failed = (complaint: string): Parsed => ({ values, complaint })
  let defaulted = false
  for (const part of text.split(',')) {
    if (/^\s*$/.test(part)) continue
    const pair = /^([^=]+)=(.+)$/s.exec(part)
    if (pair) {
      let key = pair[1] ?? ''
      if (values[key] !== undefined) return failed(`duplicate key in comma-separated list property: ${key}`)
      let schema = keys[key]
      if (schema?.alias) {
        if (schema.keyAlias) {
          if (values[schema.keyAlias] !== undefined) return failed(`key alias '${schema.keyAlias}' is already defined`)
          values[schema.keyAlias] = key
        }
        key = schema.alias
        schema = keys[key]
        if (values[key] !== undefined) return failed(`key '${key}' is already defined (via alias)`)
      }
      if (!schema) return failed(`invalid key in comma-separated list property: ${key}`)
      values[key] = spoken(schema, pair[2] ?? '')
      continue
    }
    if (part.includes('=')) return failed('missing key in comma-separated list property')
    const key = Object.keys(keys).find((name) => keys[name]?.default_key)
    if (key === undefined) return failed('value without key, but schema does not define a default key')
    if (defaulted || values[key]) return failed(`duplicate key in comma-separated list property: ${key}`)
    defaulted = true
    values[key] = spoken(keys[key] ?? {}, part)
  }
  return { values, complaint: null }
}

/** Inside a property string a boolean may be spoken; everywhere else Proxmox takes 0 and 1 alone. */
function spoken(schema: Schema, value: string): string {
  if (schema.type !== 'boolean') return value
  if (/^(1|on|yes|true)$/i.test(value)) return '1'
  return /^(0|off|no|false)$/i.test(value) ? '0' : value
}

/** The first key without its name, the others sorted, as Proxmox writes its configurations. */
export function printPropertyString(values: Readonly<Record<string, string>>, first: string): string {
  const head = values[first] === undefined ? [] : [values[first]]
  const rest = Object.keys(values).filter((key) => key !== first)
  return [...head, ...rest.sort().map((key) => `${key}=${values[key]}`)].join(',')
}

/** Reads `[[type=]<a|b>] [,size=<integer>]`; null for a text that is no property string. */
export function keysOfTypeText(text: string | undefined): Keys | null {
  if (!text || !/=\]?</.test(text)) return null
  const keys: Record<string, Schema> = {}
  const item = /(\[)?\s*,?\s*(\[)?([A-Za-z0-9_-]+)=(\])?(<[^>]*>|\([^)]*\)(?:\|\w+)?|\\d\+)/g
  for (const [, optional, , key = '', bare, value = ''] of text.matchAll(item))
    keys[key] = { ...valueSchema(value), ...(optional && !(bare && !text.includes(`[[${key}=]`)) ? { optional: 1 } : {}), ...(bare ? { default_key: 1 } : {}) }
  return keys
}

function valueSchema(text: string): Schema {
  const inner = /^<(.*)>$/.exec(text)?.[1] ?? ''
  if (inner === '1|0') return { type: 'boolean' }
  if (inner === 'integer' || inner === 'N' || text === '\\d+') return { type: 'integer' }
  if (inner === 'number') return { type: 'number' }
  if (/^[\w./+-]+(\|[\w./+-]+)+$/.test(inner) && inner !== '8-64|host') return { type: 'string', enum: inner.split('|') }
  return { type: 'string' }
}
