/** Every request that came, and what it could have changed: so that a test can prove what was never written to. */
import { listOf } from './answers.ts'
import type { Raw } from './parameters.ts'

/** Older requests are forgotten beyond this many; a test that needs more says so at start. */
const MOST = 200_000

export interface Entry {
  readonly number: number
  readonly door: string
  readonly method: string
  readonly path: string
  /** Null for a path that Proxmox does not know. */
  readonly template: string | null
  readonly who: string | null
  readonly parameters: Raw
  /** VMs that the request asked to change, whether it was let or not. */
  readonly writes: readonly number[]
  /** Null while no answer went out, and for one that was kept back. */
  status: number | null
}

export class Journal {
  readonly entries: Entry[] = []
  readonly #most: number
  #next = 1

  constructor(most = MOST) {
    this.#most = most
  }

  add(entry: Omit<Entry, 'number' | 'writes' | 'status'>): Entry {
    const made: Entry = { ...entry, number: this.#next++, writes: writesOf(entry.method, entry.template, entry.parameters), status: null }
    this.entries.push(made)
    if (this.entries.length > this.#most) this.entries.shift()
    return made
  }

  /** Requests that asked to change this VM. */
  writesTo(vmid: number): Entry[] {
    return this.entries.filter((entry) => entry.writes.includes(vmid))
  }

  /** How often a method of the description was called. */
  count(method: string, template: string): number {
    return this.entries.filter((entry) => entry.method === method && entry.template === template).length
  }
}

function writesOf(method: string, template: string | null, parameters: Raw): number[] {
  if (method === 'GET' || template === null) return []
  // A clone reads its source and writes its target.
  if (template.endsWith('/{vmid}/clone')) return numbers(parameters['newid'])
  const storage = template.includes('/storage/') ? /(?:vm|base)-(\d+)-/.exec(String(parameters['volume'] ?? ''))?.[1] : undefined
  return [
    ...numbers(parameters['vmid']),
    ...numbers(parameters['vms']),
    ...numbers(storage),
    ...(template === '/access/acl' ? numbers(/^\/vms\/(\d+)/.exec(String(parameters['path'] ?? ''))?.[1]) : []),
  ]
}

const numbers = (value: unknown): number[] =>
  (Array.isArray(value) ? value.map(String) : listOf(value === undefined || value === null ? undefined : String(value)))
    .map(Number)
    .filter((number) => Number.isInteger(number) && number > 0)
