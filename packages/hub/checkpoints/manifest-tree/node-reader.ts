/** Nodes read, decoded and compared with what their parent says of them; a bounded number of bytes is kept for a second look. */

import type { ManifestEntry } from '@autovibe/contract'
import { NODE_BYTES_MAX } from '@autovibe/core/checkpoints/manifest-tree/boundaries.ts'
import {
  type ChildRef,
  childProblem,
  corruptNode,
  decodeNode,
  isLeaf,
  type LeafNode,
  type ManifestNode,
} from '@autovibe/core/checkpoints/manifest-tree/node.ts'
import type { ReadNode } from './ports.ts'

/** As written; the objects that they become take a few times as much. Whoever walks a tree from one end to the other comes back to none but the branches on its way. */
const KEPT_BYTES_MAX = 1024 * 1024

interface Kept {
  readonly node: Promise<ManifestNode>
  bytes: number
}

export class NodeReader {
  readonly #read: ReadNode
  readonly #keptBytesMax: number
  readonly #kept = new Map<string, Kept>()
  #keptBytes = 0

  constructor(read: ReadNode, keptBytesMax = KEPT_BYTES_MAX) {
    this.#read = read
    this.#keptBytesMax = keptBytesMax
  }

  root(sha256: string): Promise<ManifestNode> {
    return this.#node(sha256)
  }

  /** `level` and `next` (where what follows it begins; null when nothing does) are where it stands in the tree. `checkpoint.corrupt` when it belongs elsewhere. */
  async child(child: ChildRef, level: number, next: string | null): Promise<ManifestNode> {
    const node = await this.#node(child.sha256)
    const problem = childProblem(child, level, next, node)
    if (problem !== null) throw corruptNode(problem)
    return node
  }

  /** Sends for a node that will be asked for soon; then is the time to hear of a failure. */
  expect(child: ChildRef): void {
    this.#node(child.sha256).catch(() => undefined)
  }

  /** The entry with this key; null when the tree holds none. Reads one node a level. */
  async find(root: string, key: string): Promise<ManifestEntry | null> {
    const items = (await this.leafAt(root, key))?.items ?? []
    const item = items[lastUpTo(items, key)]
    return item?.key === key ? item.entry : null
  }

  /** The leaf in whose part of the tree the key lies; null when the key comes before all entries. Reads one node a level. */
  async leafAt(root: string, key: string): Promise<LeafNode | null> {
    let node = await this.root(root)
    let next: string | null = null
    while (!isLeaf(node)) {
      const index = lastUpTo(node.children, key)
      const child = node.children[index]
      if (child === undefined) return null
      next = node.children[index + 1]?.key ?? next
      node = await this.child(child, node.level - 1, next)
    }
    return node
  }

  #node(sha256: string): Promise<ManifestNode> {
    const known = this.#kept.get(sha256)
    if (known !== undefined) {
      this.#kept.delete(sha256)
      this.#kept.set(sha256, known)
      return known.node
    }
    const kept: Kept = { node: this.#load(sha256), bytes: 0 }
    this.#kept.set(sha256, kept)
    kept.node.catch(() => this.#kept.delete(sha256))
    return kept.node
  }

  async #load(sha256: string): Promise<ManifestNode> {
    const bytes = await this.#read(sha256)
    if (bytes.length > NODE_BYTES_MAX) throw corruptNode(`it is larger than ${NODE_BYTES_MAX} bytes`)
    const node = decodeNode(bytes)
    const kept = this.#kept.get(sha256)
    if (kept !== undefined) {
      kept.bytes = bytes.length
      this.#keptBytes += bytes.length
      this.#forget()
    }
    return node
  }

  /** The ones that were asked for longest ago. */
  #forget(): void {
    for (const [sha256, { bytes }] of this.#kept) {
      if (this.#keptBytes <= this.#keptBytesMax) return
      // Still on its way.
      if (bytes === 0) continue
      this.#kept.delete(sha256)
      this.#keptBytes -= bytes
    }
  }
}

/** The index of the last item that begins at or before the key; -1 for none. */
export function lastUpTo(items: readonly { readonly key: string }[], key: string): number {
  let low = 0
  let high = items.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((items[middle]?.key ?? '') <= key) low = middle + 1
    else high = middle
  }
  return low - 1
}
