/** A call as Proxmox reads it: its path filled, the rest as a form. */
import { AutovibeError } from '@autovibe/contract'
import type { FormValue } from './endpoint.ts'

export interface Written {
  readonly method: string
  /** With the query of a GET or a DELETE, which may have no body. */
  readonly path: string
  /** A form, or what is sent piece by piece. */
  readonly body: string | Streamed | undefined
}

export interface Streamed {
  readonly contentType: string
  /** Proxmox refuses a body whose length it is not told. */
  readonly sizeBytes: number
  /** Anew for each attempt. */
  readonly open: () => AsyncIterable<Uint8Array>
}

/** Proxmox decodes a path before it takes it apart, so that a slash or dots in a name would lead elsewhere. */
const IN_PATH = /^(?!\.{1,2}$)[A-Za-z0-9._:!@+-]{1,512}$/
/** The one name that has slashes of its own: Proxmox takes what is left of the path for it. */
const FILE = String.raw`(?:iso|import)\/(?!\.{1,2}$)[A-Za-z0-9._+=-]{1,255}`
/** Copies of VMs, on a backup server and in a folder. */
const COPY = String.raw`backup\/(?:vm\/\d{3,9}\/[0-9TZ:-]{20}|vzdump-[a-z]{1,20}-\d{3,9}-[A-Za-z0-9_.-]{1,100})`
const VOLUME = new RegExp(`^[A-Za-z][A-Za-z0-9._-]{0,99}:(?:${FILE}|${COPY})$`)
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
