/** A call as Proxmox reads it: its path filled, the rest as a form. */
import { AutovibeError } from '@autovibe/contract'
import type { FormValue } from './endpoints.ts'

export interface Written {
  readonly method: string
  /** With the query of a GET or a DELETE, which may have no body. */
  readonly path: string
  readonly body: string | undefined
}

/** Proxmox decodes a path before it takes it apart, so that a slash or dots in a name would lead elsewhere. */
const IN_PATH = /^(?!\.{1,2}$)[A-Za-z0-9._:!@+-]{1,512}$/
/** The one exception: it takes all that is left of the path, because the names of volumes have slashes. */
const VOLUME = /^[A-Za-z0-9._-]{1,100}:[A-Za-z0-9][A-Za-z0-9._:+-]{0,200}(?:\/[A-Za-z0-9][A-Za-z0-9._:+-]{0,200}){0,8}$/
const BASE = '/api2/json'

/** Rejects names that cannot be a part of a path. */
export function written(endpoint: string, parameters: Readonly<Record<string, FormValue>>): Written {
  const [method = '', template = ''] = endpoint.split(' ')
  const inPath = new Set<string>()
  const path = template.replaceAll(/\{([^{}]+)\}/g, (_, name: string) => {
    inPath.add(name)
    const value = String(parameters[name] ?? '')
    if (!(name === 'volume' ? VOLUME : IN_PATH).test(value))
      throw new AutovibeError('substrate.failed', `${JSON.stringify(value.slice(0, 100))} cannot be the ${name} of a call of Proxmox.`)
    return encodeURIComponent(value)
  })
  const form = encoded(Object.entries(parameters).filter(([name]) => !inPath.has(name)))
  const inBody = method === 'POST' || method === 'PUT'
  return { method, path: `${BASE}${path}${!inBody && form !== '' ? `?${form}` : ''}`, body: inBody ? form : undefined }
}

export function encoded(entries: readonly (readonly [string, FormValue])[]): string {
  return entries
    .flatMap(([key, value]) => (Array.isArray(value) ? value : [value]).map((each: FormValue) => [key, each] as const))
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(typeof value === 'boolean' ? Number(value) : String(value))}`)
    .join('&')
}
