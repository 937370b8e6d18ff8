/**
 * The entries of a tree, each folder's right behind it. In the order of bytes, in which they are stored, `a-b` stands between `a` and `a/x`: a tar in that order would have
 * GNU tar take `a` for finished, with its mode and time, before `a/x` is written into it.
 */
import type { ManifestEntry } from '@autovibe/contract'
import { sortKey } from '@autovibe/core/checkpoints/manifest.ts'
import type { ProjectStore } from '../store.ts'

interface Walk {
  readonly under: string | undefined
  entries: AsyncIterator<ManifestEntry>
  /** Folders of this walk whose entries came already. */
  readonly told: Set<string>
  /** The entry after the last one, already read. */
  next: ManifestEntry | null
}

/** All of them, or those beneath a folder. Holds one entry for each folder that is under way. */
export async function* depthFirst(store: Pick<ProjectStore, 'entries'>, manifestSha256: string, under?: string): AsyncGenerator<ManifestEntry, void> {
  const open = (folder: string | undefined, after?: readonly string[]): AsyncIterator<ManifestEntry> =>
    store.entries(manifestSha256, folder, after)[Symbol.asyncIterator]()
  const begin = async (folder: string | undefined): Promise<Walk> => {
    const entries = open(folder)
    return { under: folder, entries, told: new Set(), next: await nextOf(entries) }
  }
  const walks = [await begin(under)]
  try {
    for (let walk = walks.at(-1); walk !== undefined; walk = walks.at(-1)) {
      const entry = walk.next
      if (entry === null) {
        walks.pop()
        continue
      }
      const folder = entry.path.slice(0, Math.max(0, entry.path.lastIndexOf('/')))
      if (walk.told.delete(folder)) {
        await walk.entries.return?.()
        walk.entries = open(walk.under, [...walk.told, folder])
        walk.next = await nextOf(walk.entries)
        continue
      }
      yield entry
      walk.next = await nextOf(walk.entries)
      if (entry.type !== 'directory' || walk.next === null) continue
      const key = sortKey(entry.path)
      const nextKey = sortKey(walk.next.path)
      if (!nextKey.startsWith(key) || nextKey.startsWith(`${key}/`) || nextKey > `${key}/`) continue
      walk.told.add(entry.path)
      walks.push(await begin(entry.path))
    }
  } finally {
    for (const { entries } of walks) await entries.return?.()
  }
}

async function nextOf(entries: AsyncIterator<ManifestEntry>): Promise<ManifestEntry | null> {
  const { done, value } = await entries.next()
  return done === true ? null : value
}
