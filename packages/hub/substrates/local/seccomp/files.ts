/** The filters as files, because bubblewrap and the Landlock helper read theirs from an open one. */
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileFailure } from '../command.ts'
import type { Layout } from '../layout.ts'
import { seccompFilter } from './filter.ts'
import type { Surroundings } from './rules.ts'
import { architectureOf } from './syscalls.ts'

export type Filters = Readonly<Record<Surroundings, string>>

/** Writes both anew, so that they are those of this version; null on an architecture that we have no numbers for. */
export async function writeFilters(layout: Layout): Promise<Filters | null> {
  const architecture = architectureOf(process.arch)
  if (architecture === null) return null
  const write = async (surroundings: Surroundings): Promise<string> => {
    const path = join(layout.root, `${surroundings}.bpf`)
    // A machine that starts meanwhile, after another Hub has ended badly, reads the old or the new one.
    const fresh = `${path}.new`
    await writeFile(fresh, seccompFilter(surroundings, architecture), { mode: 0o600 })
    await rename(fresh, path)
    return path
  }
  try {
    return { namespaced: await write('namespaced'), shared: await write('shared') }
  } catch (error) {
    throw fileFailure('Writing the filter of system calls', error)
  }
}
