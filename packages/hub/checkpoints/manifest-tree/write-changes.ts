/** A manifest's tree with changes applied: reads the nodes that they touch, writes those that come out otherwise, and takes over all others as they are. */
import { type ManifestChange, sortKey } from '@autovibe/core/checkpoints/manifest.ts'
import { Merge } from '@autovibe/core/checkpoints/manifest-tree/merge.ts'
import { type BranchNode, type ChildRef, isLeaf, type LeafNode, type ManifestNode, type TreeTotals } from '@autovibe/core/checkpoints/manifest-tree/node.ts'
import { type Edit, PendingChanges } from '@autovibe/core/checkpoints/manifest-tree/pending-changes.ts'
import { lastUpTo, NodeReader } from './node-reader.ts'
import type { ReadNode, WriteNode } from './ports.ts'
import { readAhead } from './read-ahead.ts'
import { TreeWriter } from './tree-writer.ts'
import { sortByKey, Turns } from './turns.ts'

/** So many changes are looked at before the first of them is applied, to read what they ask of the old tree together; and while more are still on their way. */
const CHANGES_PER_BATCH = 256

/** What the changes ask of the old tree is read before they are applied, and once more then. */
const KEPT_BYTES_MAX = 12 * 1024 * 1024

export interface WrittenTree extends TreeTotals {
  readonly root: string
}

/**
 * The tree `root` (null: an empty one) with the changes applied in their order, as `applyChanges` does. Equal trees have equal roots, whichever changes led to them. `substrate.failed` for a
 * change that no tree can hold; nodes written until then stay where they are.
 */
export async function writeChanges(
  root: string | null,
  changes: Iterable<ManifestChange> | AsyncIterable<ManifestChange>,
  read: ReadNode,
  write: WriteNode,
): Promise<WrittenTree> {
  const reader = new NodeReader(read, KEPT_BYTES_MAX)
  const turns = new Turns()
  const pending = new PendingChanges()
  for await (const batch of batches(changes)) await addBatch(pending, batch, root, reader, turns)
  const edits: Edit[] = []
  for (const edit of pending.edits()) {
    edits.push(edit)
    if (turns.isOver()) await turns.pass()
  }
  const merge = new Merge(await sortByKey(edits, turns))
  const writer = new TreeWriter(write)
  try {
    return await new TreeUpdate(reader, writer, merge, turns).run(root)
  } finally {
    // After a failure too, nothing is written behind the back of whoever hears of it.
    await writer.settle()
  }
}

class TreeUpdate {
  readonly #reader: NodeReader
  readonly #writer: TreeWriter
  readonly #merge: Merge
  readonly #turns: Turns

  constructor(reader: NodeReader, writer: TreeWriter, merge: Merge, turns: Turns) {
    this.#reader = reader
    this.#writer = writer
    this.#merge = merge
    this.#turns = turns
  }

  async run(root: string | null): Promise<WrittenTree> {
    if (root === null) await this.#leaf({ level: 0, items: [], entries: 0, files: 0, bytes: 0 }, null)
    else {
      const node = await this.#reader.root(root)
      if (!this.#merge.touches('', null)) return totalsOf(root, node)
      await this.#inside(node, null)
    }
    const written = await this.#writer.finish()
    if (!written.isOld) return totalsOf(written.sha256, written)
    return this.#lowestAlone(written.sha256)
  }

  async #inside(node: ManifestNode, next: string | null): Promise<void> {
    if (isLeaf(node)) await this.#leaf(node, next)
    else await this.#branch(node, next)
  }

  async #leaf(leaf: LeafNode, next: string | null): Promise<void> {
    for (const item of this.#merge.merged(leaf.items, next)) {
      this.#writer.add(item)
      if (this.#writer.isFull) await this.#writer.room()
      if (this.#turns.isOver()) await this.#turns.pass()
    }
  }

  async #branch(branch: BranchNode, next: string | null): Promise<void> {
    const { children } = branch
    const level = branch.level - 1
    const keys = children.map(({ key }) => key)
    const load = (index: number): Promise<ManifestNode> => this.#reader.child(children[index] as ChildRef, level, keys[index + 1] ?? next)
    const forecast = readAhead(this.#merge.holdingEdits(keys, next), load)
    let coming = await forecast.next()
    for (const [index, child] of children.entries()) {
      const end = keys[index + 1] ?? next
      const node = coming.done !== true && coming.value.item === index ? coming.value.loaded : null
      if (node !== null) coming = await forecast.next()
      if (this.#merge.drops(child.key, end)) continue
      if (!this.#merge.touches(child.key, end) && this.#writer.fits(child.key, level)) this.#writer.take(child, level)
      else await this.#inside(node ?? (await load(index)), end)
    }
  }

  /** A node that was taken over may have been one of several and now be alone, with one child: then the child was alone before it. */
  async #lowestAlone(root: string): Promise<WrittenTree> {
    let sha256 = root
    let node = await this.#reader.root(sha256)
    while (!isLeaf(node) && node.children.length === 1) {
      const child = node.children[0] as ChildRef
      node = await this.#reader.child(child, node.level - 1, null)
      sha256 = child.sha256
    }
    return totalsOf(sha256, node)
  }
}

async function addBatch(pending: PendingChanges, batch: readonly ManifestChange[], root: string | null, reader: NodeReader, turns: Turns): Promise<void> {
  const directories = new Set<string>()
  if (root !== null) {
    const questions = new Map<string, Question>()
    for (const change of batch) {
      const parent = pending.question(change)
      if (change.kind === 'put' && parent !== null && !questions.has(parent)) questions.set(parent, { parent, key: sortKey(change.entry.path) })
    }
    const sorted = [...questions.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
    for await (const { item, loaded } of readAhead(sorted, (question) => isDirectory(reader, root, question))) if (loaded) directories.add(item.parent)
  }
  for (const change of batch) pending.add(change, (path) => directories.has(path))
  if (turns.isOver(batch.length)) await turns.pass()
}

/** Whether a path is a directory of the old tree, asked because an entry is put into it. */
interface Question {
  readonly parent: string
  /** Of that entry. */
  readonly key: string
}

/** The leaf that the entry goes to is read anyway; mostly it holds something of the same directory, which then need not be looked for. */
async function isDirectory(reader: NodeReader, root: string, { parent, key }: Question): Promise<boolean> {
  const parentKey = sortKey(parent)
  const items = (await reader.leafAt(root, key))?.items ?? []
  const index = lastUpTo(items, key)
  if ([items[index], items[index + 1]].some((item) => item?.key.startsWith(`${parentKey}/`))) return true
  return (await reader.find(root, parentKey))?.type === 'directory'
}

async function* batches(changes: Iterable<ManifestChange> | AsyncIterable<ManifestChange>): AsyncGenerator<ManifestChange[], void> {
  let batch: ManifestChange[] = []
  for await (const change of changes) {
    batch.push(change)
    if (batch.length < CHANGES_PER_BATCH) continue
    yield batch
    batch = []
  }
  yield batch
}

const totalsOf = (root: string, { entries, files, bytes }: TreeTotals): WrittenTree => ({ root, entries, files, bytes })
