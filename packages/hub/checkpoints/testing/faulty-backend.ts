/** A backend that does as it should until a certain call, and from then on fails: what a process that is killed there, or a disk that gives up, leaves behind. */
import type { Backend } from '../backends/backend.ts'
import { storeError } from '../store-errors.ts'

export type Fault = 'dies before' | 'dies after' | 'ENOSPC' | 'EIO'

export class Killed extends Error {}

export interface FaultyBackend extends Backend {
  /** Calls that change something, or with `reads` all. */
  readonly calls: number
}

/** `at`: the number of the call that fails. After a death every call fails; a disk that is full or failing fails once. */
export function faultyBackend(backend: Backend, fault: Fault, at: number, reads = false): FaultyBackend {
  let calls = 0
  let isDead = false
  const errno = (code: string): unknown => storeError(Object.assign(new Error(code), { code }), backend.place)
  async function through<T>(counts: boolean, work: () => Promise<T>): Promise<T> {
    if (isDead) throw new Killed()
    if (!counts || calls++ !== at) return await work()
    if (fault === 'ENOSPC' || fault === 'EIO') throw errno(fault)
    isDead = true
    if (fault === 'dies after') await work()
    throw new Killed()
  }
  return {
    get calls() {
      return calls
    },
    place: backend.place,
    put: (name, bytes, options) => through(true, () => backend.put(name, bytes, options)),
    get: (name, range) => through(reads, () => backend.get(name, range)),
    delete: (name) => through(true, () => backend.delete(name)),
    async *list(folder) {
      for await (const listed of backend.list(folder)) yield await through(false, async () => listed)
    },
  }
}
