/** A backend on a disk with places that it does not give, and that can be full, for as long as a test says so. */
import type { Backend } from '../backends/backend.ts'
import { storeError } from '../store-errors.ts'

export interface BadDisk {
  readonly backend: Backend
  /** Whether the disk gives what lies there, from `from` (from the end on when negative, as tables are read) to before `until`. */
  isBad: (name: string, from: number, until: number) => boolean
  isFull: boolean
  /** Nothing can be removed. */
  isStuck: boolean
  /** How often something was written, or tried to be. */
  readonly writes: number
}

export function badDisk(backend: Backend): BadDisk {
  const fail = (code: string): never => {
    throw storeError(Object.assign(new Error(code), { code }), backend.place)
  }
  let writes = 0
  const disk: BadDisk = {
    isBad: () => false,
    isFull: false,
    isStuck: false,
    get writes() {
      return writes
    },
    backend: {
      place: backend.place,
      async put(name, bytes, options) {
        writes++
        return disk.isFull ? fail('ENOSPC') : await backend.put(name, bytes, options)
      },
      async get(name, range) {
        const from = range?.offset ?? 0
        const until = range === undefined || from < 0 ? Number.POSITIVE_INFINITY : from + range.length
        return disk.isBad(name, from, until) ? fail('EIO') : await backend.get(name, range)
      },
      list: (folder) => backend.list(folder),
      delete: async (name) => (disk.isStuck ? fail('EIO') : await backend.delete(name)),
    },
  }
  return disk
}
