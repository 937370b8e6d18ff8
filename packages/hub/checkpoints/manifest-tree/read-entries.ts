/** The entries of a manifest's tree, one after the other; or a single one. */
import type { ManifestEntry } from '@autovibe/contract'
import { pathProblem, sortKey } from '@autovibe/core/checkpoints/manifest.ts'
import { OpenFolders } from '@autovibe/core/checkpoints/manifest-tree/folders.ts'
import { type ChildRef, corruptNode, isLeaf, type LeafItem, type ManifestNode } from '@autovibe/core/checkpoints/manifest-tree/node.ts'
import { NodeReader } from './node-reader.ts'
import type { ReadNode } from './ports.ts'
import { readAhead } from './read-ahead.ts'
import { Turns } from './turns.ts'

export interface EntriesWanted {
  /** Only what lies beneath this directory, without it itself. Nothing does when it is none. */
  readonly under?: string
  /** Only what comes after all that lies beneath the last of these directories; the others have begun before it, and what lies in them may follow. */
  readonly after?: readonly string[]
}

/** The keys from `from` up to, not including, `to`; null: to the end. */
interface Span {
  readonly from: string
  readonly to: string | null
}

/** In the order of the paths' bytes, read as they are asked for. `checkpoint.corrupt` as soon as a node is missing, damaged or not that of a tree. */
export async function* readEntries(root: string, read: ReadNode, { under, after }: EntriesWanted = {}): AsyncGenerator<ManifestEntry, void> {
  const reader = new NodeReader(read)
  const key = under === undefined || pathProblem(under) !== null ? null : sortKey(under)
  if (under !== undefined && (key === null || (await reader.find(root, key))?.type !== 'directory')) return
  const around = [...(under === undefined ? [] : [under]), ...foldersAround(after ?? [], under)].map((path) => ({ path, key: sortKey(path) }))
  const folders = new OpenFolders(around.sort((one, other) => (one.key < other.key ? -1 : 1)))
  const whole = key === null ? { from: '', to: null } : { from: `${key}/`, to: `${key}0` }
  const last = after?.at(-1)
  const span = last === undefined ? whole : { ...whole, from: `${sortKey(last)}0` }
  const turns = new Turns()
  for await (const item of itemsOf(reader, await reader.root(root), null, span)) {
    if (!folders.admit(item.entry, item.key)) throw corruptNode('an entry lies in no directory')
    yield item.entry
    if (turns.isOver()) await turns.pass()
  }
}

/** Those of these directories, and of the ones that the last lies in, that are beneath `under`. */
function foldersAround(begun: readonly string[], under = ''): string[] {
  const names = begun.at(-1)?.split('/') ?? []
  const outer = names.slice(1).map((_, index) => names.slice(0, index + 1).join('/'))
  return [...new Set([...begun.slice(0, -1), ...outer])].filter((folder) => folder.length > under.length)
}

/** The entry at this path, or null. */
export async function findEntry(root: string, path: string, read: ReadNode): Promise<ManifestEntry | null> {
  return pathProblem(path) === null ? new NodeReader(read).find(root, sortKey(path)) : null
}

async function* itemsOf(reader: NodeReader, node: ManifestNode, next: string | null, span: Span): AsyncGenerator<LeafItem, void> {
  if (isLeaf(node)) {
    for (const item of node.items) if (item.key >= span.from && (span.to === null || item.key < span.to)) yield item
    return
  }
  const { children, level } = node
  const ends = children.map((_, index) => children[index + 1]?.key ?? next)
  const inside = children.map((child, index) => ({ child, end: ends[index] ?? null })).filter((part) => overlaps(part, span))
  for await (const { item, loaded } of readAhead(inside, ({ child, end }) => reader.child(child, level - 1, end))) {
    yield* itemsOf(reader, loaded, item.end, span)
  }
}

const overlaps = ({ child, end }: { readonly child: ChildRef; readonly end: string | null }, { from, to }: Span): boolean =>
  (end === null || end > from) && (to === null || child.key < to)
