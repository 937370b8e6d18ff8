/** Which entries of a checkpoint go into an archive of it, and under which names. */
import type { ArchiveQuery, ManifestEntry } from '@autovibe/contract'
import { ignoredBy } from '../ignored.ts'
import type { ProjectStore } from '../store.ts'
import { depthFirst } from './depth-first.ts'

export interface ChosenEntry {
  readonly entry: ManifestEntry
  /** In the archive; spelled as in a manifest. */
  readonly path: string
}

/** Where new files are measured from; `isTracked`: what lies in it came from a commit, so that no rule hides it. */
export interface IgnoreBase {
  readonly manifestSha256: string
  readonly isTracked: boolean
}

const PROJECT = 'project/'

/**
 * All entries under their own names, or those of the project under names within it: then without the folder itself, whose mode would become that of the folder somebody unpacks
 * in, and without what is named `.git`, since git runs what it finds configured there. With `ignoredSince`, what that tree's .gitignore files name is left out unless it was
 * there already: an agent cannot hide its work with rules of its own.
 */
export async function* chooseEntries(
  store: ProjectStore,
  manifestSha256: string,
  { contents, inner_git }: Pick<ArchiveQuery, 'contents' | 'inner_git'>,
  ignoredSince: IgnoreBase | null,
): AsyncGenerator<ChosenEntry, void> {
  if (contents === 'all') {
    for await (const entry of depthFirst(store, manifestSha256)) yield { entry, path: entry.path }
    return
  }
  const isLeftOut = ignoredSince === null ? null : await leftOutSince(store, ignoredSince)
  for await (const entry of depthFirst(store, manifestSha256, PROJECT.slice(0, -1))) {
    const path = entry.path.slice(PROJECT.length)
    if (path === '' || isGit(path, inner_git)) continue
    if (isLeftOut !== null && (await isLeftOut(entry, path))) continue
    yield { entry, path }
  }
}

function isGit(path: string, innerIsWanted: boolean): boolean {
  const names = path.split('/')
  return innerIsWanted ? names[0] === '.git' : names.includes('.git')
}

async function leftOutSince(store: ProjectStore, { manifestSha256, isTracked }: IgnoreBase): Promise<(entry: ManifestEntry, path: string) => Promise<boolean>> {
  const isIgnored = await ignoredBy(store, manifestSha256, PROJECT)
  // The folders of git are of no weight: they come and go with their files.
  return async (entry, path) => entry.type !== 'directory' && (await isIgnored(path)) && !(isTracked && (await wasThere(store, manifestSha256, entry.path)))
}

const wasThere = async (store: ProjectStore, manifestSha256: string, path: string): Promise<boolean> => {
  const entry = await store.entry(manifestSha256, path)
  return entry !== null && entry.type !== 'directory'
}
