/** Proxmox's check of a value against its schema, in its order and with its words. */
import { listOf } from './answers.ts'
import type { Schema } from './description.ts'
import { complaintOf } from './formats.ts'
import { perlPattern } from './patterns.ts'
import { type Keys, keysOfTypeText, parsePropertyString } from './property-strings.ts'

export type Value = string | number | boolean | null | undefined | readonly Value[] | { readonly [key: string]: Value }
export type Errors = Record<string, string>

const NO_MORE = 'property is not defined in schema and the schema does not allow additional properties'

/** Adds what is wrong with `value` at `path` to `errors`. */
export function checkValue(value: Value, schema: Schema, path: string, errors: Errors): void {
  if (schema.oneOf || schema.alias) return
  if (value === undefined || value === null) {
    if (schema.type !== 'null' && !schema.optional) add(errors, path, 'property is missing and it is not optional')
    return
  }
  const wrong = wrongType(value, schema.type)
  if (wrong) add(errors, path, wrong)
  else if (Array.isArray(value)) {
    if (schema.items) for (const [index, each] of value.entries()) checkValue(each as Value, schema.items, `${path}[${index}]`, errors)
  } else if (typeof value === 'object') {
    if (schema.properties || schema.additionalProperties) checkObject(value as Record<string, Value>, schema, path, errors)
  } else {
    const complaint = complaintAbout(typeof value === 'boolean' ? (value ? '1' : '0') : String(value), schema, path)
    if (complaint) add(errors, path, complaint)
  }
}

/** Checks every property that the schema names, then every one that it does not. */
export function checkObject(value: Readonly<Record<string, Value>>, schema: Schema, path: string, errors: Errors): void {
  const properties = schema.properties ?? {}
  const at = (key: string): string => (path === '' ? key : `${path}.${key}`)
  for (const [key, property] of Object.entries(properties)) if (!key.endsWith('[n]')) checkValue(value[key], property, at(key), errors)
  for (const [key, each] of Object.entries(value)) {
    const property = propertyOf(properties, key)
    if (!property) {
      if (schema.additionalProperties === 0) add(errors, at(key), NO_MORE)
      else if (typeof schema.additionalProperties === 'object') checkValue(each, schema.additionalProperties, at(key), errors)
      continue
    }
    if (properties[key] === undefined || key.endsWith('[n]')) checkValue(each, property, at(key), errors)
    if (property.requires && (value[property.requires] === undefined || value[property.requires] === null))
      add(errors, at(property.requires), `missing property required by '${at(key)}'`)
  }
}

/** How many of each numbered property there are: the description says `net[n]` and no number. */
const NUMBERED: Readonly<Record<string, number>> = {
  net: 32,
  scsi: 31,
  ide: 4,
  sata: 6,
  virtio: 16,
  ipconfig: 32,
  numa: 8,
  hostpci: 16,
  usb: 14,
  serial: 4,
  parallel: 3,
  unused: 256,
  virtiofs: 10,
  link: 8,
  mp: 256,
  dev: 256,
  acmedomain: 6,
}

export function propertyOf(properties: Readonly<Record<string, Schema>>, key: string): Schema | undefined {
  const exact = properties[key]
  if (exact && !key.endsWith('[n]')) return exact
  const [, name = '', number = ''] = /^([a-z]+)(0|[1-9]\d*)$/.exec(key) ?? []
  return Number(number) < (NUMBERED[name] ?? 0) ? properties[`${name}[n]`] : undefined
}

function wrongType(value: Exclude<Value, null | undefined>, type: string | undefined): string | null {
  if (type === undefined || type === 'any') return null
  const failed = `type check ('${type}') failed`
  if (type === 'null') return `${failed} - value is not null`
  if (type === 'array') return Array.isArray(value) ? null : failed
  if (type === 'object') return typeof value === 'object' && !Array.isArray(value) ? null : failed
  if (typeof value === 'boolean') return type === 'boolean' ? null : `${failed} - got JSON::PP::Boolean`
  if (typeof value === 'object') return `${failed} - got ${Array.isArray(value) ? 'ARRAY' : 'HASH'}`
  const text = String(value)
  if (type === 'boolean') return text === '0' || text === '1' ? null : `${failed} - got '${text}'`
  if (type === 'integer') return /^[+-]?\d+$/.test(text) ? null : `${failed} - got '${text}'`
  if (type === 'number') return isNumber(text) ? null : `${failed} - got '${text}'`
  return null
}

const isNumber = (text: string): boolean => /^[+-]?(\d+\.\d+|\d+\.|\.\d+|\d+)([eE][+-]?\d+)?$/.test(text)

function complaintAbout(text: string, schema: Schema, path: string): string | null {
  if (schema.format) {
    const complaint = formatComplaint(text, schema, path)
    if (complaint !== null) return `invalid format - ${complaint}\n`
  }
  if (schema.pattern && perlPattern(schema.pattern)?.test(text) === false) return 'value does not match the regex pattern'
  if (schema.maxLength !== undefined && text.length > schema.maxLength) return `value may only be ${schema.maxLength} characters long`
  if (schema.minLength !== undefined && text.length < schema.minLength) return `value must be at least ${schema.minLength} characters long`
  if (isNumber(text)) {
    if (schema.maximum !== undefined && Number(text) > Number(schema.maximum)) return `value must have a maximum value of ${schema.maximum}`
    if (schema.minimum !== undefined && Number(text) < Number(schema.minimum)) return `value must have a minimum value of ${schema.minimum}`
  }
  if (schema.enum && !schema.enum.some((allowed) => String(allowed) === text))
    return `value '${text}' does not have a value in the enumeration '${schema.enum.join(', ')}'`
  return null
}

/** The keys of a value that is a property string; null for a plain value. */
export function keysOf(schema: Schema): Keys | null {
  return typeof schema.format === 'object' ? schema.format : keysOfTypeText(schema.typetext)
}

/** Whether we test values of this format at all; a test counts those that we do not. */
export const knowsFormat = (schema: Schema): boolean =>
  schema.format === undefined ||
  typeof schema.format === 'object' ||
  complaintOf(schema.format, '', () => []) !== undefined ||
  keysOfTypeText(schema.typetext) !== null

function formatComplaint(text: string, schema: Schema, path: string): string | null {
  const named = typeof schema.format === 'string' ? complaintOf(schema.format, text, listOf) : undefined
  if (named !== undefined) return named
  const keys = keysOf(schema)
  if (!keys) return null
  const parsed = parsePropertyString(keys, text)
  if (parsed.complaint !== null) return parsed.complaint
  const errors: Errors = {}
  checkObject(parsed.values, { properties: keys, additionalProperties: 0 }, path, errors)
  const wrong = Object.entries(errors)
  return wrong.length === 0 ? null : `format error\n${wrong.map(([key, complaint]) => `${key}: ${complaint}`).join('\n')}`
}

function add(errors: Errors, path: string, complaint: string): void {
  const key = path === '' ? '_root' : path
  // Proxmox joins with a backslash and an n, not with a line feed.
  errors[key] = errors[key] === undefined ? complaint : `${errors[key]}\\n${complaint}`
}
