/** Every object that a manifest needs: its nodes, and the contents that their entries name. */
import { type ChildRef, isLeaf, type LeafNode, type ManifestNode } from '@autovibe/core/checkpoints/manifest-tree/node.ts'
import { NodeReader } from './node-reader.ts'
import type { ReadNode } from './ports.ts'
import { readAhead } from './read-ahead.ts'
import { Turns } from './turns.ts'

export interface NeededNode {
  readonly sha256: string
  /** Of the files among its own entries; none for a branch. */
  readonly contents: readonly { readonly path: string; readonly sha256: string; readonly size: number }[]
}

/**
 * Each node once its bytes are known to be right, a parent before its children. A node for which `isKnown` says true is left out unread, with everything beneath it. `checkpoint.corrupt`
 * when one is missing or damaged.
 */
export async function* nodesOf(root: string, read: ReadNode, isKnown: (sha256: string) => boolean = () => false): AsyncGenerator<NeededNode, void> {
  if (isKnown(root)) return
  const reader = new NodeReader(read)
  yield* walk(reader, root, await reader.root(root), null, isKnown, new Turns())
}

async function* walk(
  reader: NodeReader,
  sha256: string,
  node: ManifestNode,
  next: string | null,
  isKnown: (sha256: string) => boolean,
  turns: Turns,
): AsyncGenerator<NeededNode, void> {
  if (turns.isOver(isLeaf(node) ? node.items.length : node.children.length)) await turns.pass()
  if (isLeaf(node)) {
    yield { sha256, contents: contentsOf(node) }
    return
  }
  yield { sha256, contents: [] }
  const { children, level } = node
  const parts = children.map((child, index) => ({ child, end: children[index + 1]?.key ?? next })).filter(({ child }) => !isKnown(child.sha256))
  const load = ({ child, end }: { readonly child: ChildRef; readonly end: string | null }): Promise<ManifestNode> => reader.child(child, level - 1, end)
  for await (const { item, loaded } of readAhead(parts, load)) yield* walk(reader, item.child.sha256, loaded, item.end, isKnown, turns)
}

function contentsOf(leaf: LeafNode): NeededNode['contents'] {
  const contents = []
  for (const { entry } of leaf.items) if (entry.sha256 !== null) contents.push({ path: entry.path, sha256: entry.sha256, size: entry.size })
  return contents
}
