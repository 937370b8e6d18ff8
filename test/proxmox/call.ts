/** What a handler gets: who asks what of which node, and the cluster to do it to. */
import { type Access, ROOT } from './access.ts'
import { badParameters } from './answers.ts'
import type { Cluster, Vm } from './cluster.ts'
import type { Credentials } from './credentials.ts'
import type { Parameters } from './parameters.ts'
import type { Worker } from './tasks.ts'

export interface Call {
  readonly cluster: Cluster
  readonly access: Access
  readonly credentials: Credentials
  /** The node that does it. */
  readonly node: string
  readonly who: string
  readonly parameters: Parameters
  /** A received file, of an upload. */
  readonly upload: { readonly path: string; readonly sizeBytes: number } | null
  /** SHA-256 of each node's certificate. */
  readonly fingerprints: ReadonlyMap<string, string>
  /** Beside `data`: how many there are before the limit. */
  total: number | undefined
  /** Starts a worker on this node. */
  start(type: string, id: string | number, work: (worker: Worker) => Promise<void>): string
}

export type Handler = (call: Call) => unknown
/** Handlers by `METHOD /path`. */
export type Endpoints = Readonly<Record<string, Handler>>

export const vmidOf = (call: Call): number => Number(call.parameters.required('vmid'))

/** The VM that the path names, where the path says it is. */
export const vmOf = (call: Call): Vm => call.cluster.vm(call.node, vmidOf(call))

/** Refuses options that only root may give. */
export function onlyRoot(call: Call, ...names: readonly string[]): void {
  if (call.who === ROOT) return
  for (const name of names) {
    const value = call.parameters.text(name)
    if (value !== undefined && value !== '0') throw badParameters({ [name]: 'Only root may use this option.' })
  }
}
