/** Archives: Proxmox's own copies of whole machines. */
import type { CreatedMachineArchive, MachineArchive, MachineArchiveQuery, OperationRef } from '@autovibe/contract'
import { type List, list } from './pages.ts'
import type { CallOptions, Transport } from './transport.ts'

export class Archives {
  readonly #transport: Transport
  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** Those that are there or on their way, of machines that are destroyed too. */
  list(query: Partial<MachineArchiveQuery> = {}, options?: CallOptions): List<MachineArchive> {
    return list(this.#transport, '/archives', query, options)
  }

  get(id: string, options?: CallOptions): Promise<MachineArchive> {
    return this.#transport.json('GET', at(id), options)
  }

  /** Of a machine, by its name or id; it goes on meanwhile. */
  create(machine: string, options?: CallOptions): Promise<CreatedMachineArchive> {
    return this.#transport.json('POST', `/machines/${encodeURIComponent(machine)}/archives`, { ...options, body: {} })
  }

  remove(id: string, options?: CallOptions): Promise<OperationRef> {
    return this.#transport.json('POST', `${at(id)}/remove`, { ...options, body: {} })
  }
}

const at = (id: string): string => `/archives/${encodeURIComponent(id)}`
