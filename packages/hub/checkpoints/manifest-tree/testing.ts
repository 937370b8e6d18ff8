/** For the tests of the manifest's tree: nodes in memory, and random changes whose paths rank high, so that few of them make a tall tree. */
import { createHash } from 'node:crypto'
import { AutovibeError, type ManifestEntry } from '@autovibe/contract'
import type { ManifestChange } from '@autovibe/core/checkpoints/manifest.ts'
import { rankOf } from '@autovibe/core/checkpoints/manifest-tree/boundaries.ts'
import fc from 'fast-check'
import type { ReadNode, WriteNode } from './ports.ts'
import { writeChanges } from './write-changes.ts'

export class Nodes {
  readonly kept = new Map<string, Uint8Array>()
  /** The nodes that were read since it was set to empty. */
  readonly asked: string[] = []

  readonly read: ReadNode = async (sha256) => {
    this.asked.push(sha256)
    const bytes = this.kept.get(sha256)
    if (bytes === undefined) throw new AutovibeError('checkpoint.corrupt', `The node ${sha256} is missing.`)
    return bytes
  }

  readonly write: WriteNode = async (bytes) => {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    this.kept.set(sha256, bytes)
    return sha256
  }

  async build(entries: readonly ManifestEntry[]): Promise<string> {
    return (await writeChanges(null, entries.map(putOf), this.read, this.write)).root
  }
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

export const putOf = (entry: ManifestEntry): ManifestChange => ({ kind: 'put', entry })
export const removeOf = (path: string): ManifestChange => ({ kind: 'remove', path })

export function fileAt(path: string, more: Partial<ManifestEntry> = {}): ManifestEntry {
  return { path, type: 'file', mode: 0o644, size: 3, mtime_ms: 1, sha256: 'a'.repeat(64), link_target: null, ...more }
}

export const directoryAt = (path: string): ManifestEntry => fileAt(path, { type: 'directory', mode: 0o755, size: 0, sha256: null })

/** The first `count` of the names prefix0, prefix1, … for which `fits` is true of their rank. */
export function namesOfRank(prefix: string, count: number, fits: (rank: number) => boolean): string[] {
  const names: string[] = []
  for (let number = 0; names.length < count; number++) {
    const name = `${prefix}${number}`
    if (fits(rankOf(name))) names.push(name)
  }
  return names
}

const AWKWARD = ['a', 'a-b', 'a.b', 'B', 'é', '\u{1f600}', '\uffee', '\\xff', '\\\\', 'new\nline', ' ']
const RANKED = [0, 1, 2, 3].flatMap((rank) => namesOfRank('n', [60, 60, 30, 6][rank] ?? 0, (found) => found === rank))
const name = fc.oneof(fc.constantFrom(...AWKWARD), fc.constantFrom(...RANKED))
const folder = fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 2, arbitrary: fc.array(fc.constantFrom(...AWKWARD), { maxLength: 3 }) })
const anyPath = fc.tuple(folder, name).map(([names, last]) => [...names, last].join('/'))

const anyEntry: fc.Arbitrary<ManifestEntry> = fc
  .tuple(anyPath, fc.nat(9), fc.constantFrom('file', 'file', 'directory', 'symlink'))
  .map(([path, digit, type]) => {
    if (type === 'directory') return directoryAt(path)
    if (type === 'symlink') return fileAt(path, { type, size: 1, sha256: null, link_target: 'x' })
    return fileAt(path, { size: digit, sha256: String(digit).repeat(64) })
  })

/** Changes that may well be impossible: their folders need not be there. */
export const wildChanges: fc.Arbitrary<ManifestChange[]> = fc.array(
  fc.oneof({ weight: 4, arbitrary: anyEntry.map(putOf) }, { weight: 1, arbitrary: anyPath.map(removeOf) }),
  {
    maxLength: 40,
  },
)

const possible: fc.Arbitrary<ManifestChange[]> = fc.oneof(
  { weight: 5, arbitrary: anyEntry.map((entry) => [...foldersOf(entry.path), putOf(entry)]) },
  { weight: 2, arbitrary: anyPath.map((path) => [removeOf(path)]) },
)

/** Changes that every tree takes: the folders of each put are put before it. */
export const changesUpTo = (maxLength: number): fc.Arbitrary<ManifestChange[]> =>
  fc.array(possible, { maxLength, size: 'max' }).map((changes) => changes.flat())

function foldersOf(path: string): ManifestChange[] {
  const names = path.split('/').slice(0, -1)
  return names.map((_, index) => putOf(directoryAt(names.slice(0, index + 1).join('/'))))
}
