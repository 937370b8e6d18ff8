/** What differs between two manifests, found by walking both trees side by side: equal nodes are passed over unread. */
import type { ManifestEntry } from '@autovibe/contract'
import { type ChildRef, isLeaf, type LeafItem, type ManifestNode } from '@autovibe/core/checkpoints/manifest-tree/node.ts'
import { NodeReader } from './node-reader.ts'
import type { ReadNode } from './ports.ts'
import { AHEAD } from './read-ahead.ts'
import { Turns } from './turns.ts'

export interface EntryPair {
  /** Null: the path is new. */
  readonly before: ManifestEntry | null
  /** Null: the path is gone. */
  readonly after: ManifestEntry | null
}

/** A node that was not read yet. */
interface NodePart {
  readonly key: string
  readonly child: ChildRef
  readonly level: number
  readonly next: string | null
}
type Part = LeafItem | NodePart

/** Every path at which the trees (null: an empty one) differ in anything, be it the time alone; in the order of the paths' bytes. */
export async function* diffTrees(before: string | null, after: string | null, read: ReadNode): AsyncGenerator<EntryPair, void> {
  if (before === after) return
  const turns = new Turns()
  const reader = new NodeReader(read)
  const [left, right] = await Promise.all([Side.open(before, reader), Side.open(after, reader)])
  for (;;) {
    const a = left.first
    const b = right.first
    if (a === null && b === null) return
    if (turns.isOver()) await turns.pass()
    if (a !== null && b !== null && isSameNode(a, b)) {
      left.pass()
      right.pass()
      continue
    }
    const opened = [opensNow(a, b) ? left.enter(right) : null, opensNow(b, a) ? right.enter(left) : null].filter((opening) => opening !== null)
    if (opened.length > 0) {
      await Promise.all(opened)
      continue
    }
    const old = a !== null && (b === null || a.key <= b.key) ? left.pass() : null
    const young = b !== null && (a === null || b.key <= a.key) ? right.pass() : null
    if (old === null || young === null || !isEqual(old, young)) yield { before: old, after: young }
  }
}

/** The rest of one tree, its next part first. */
class Side {
  readonly #reader: NodeReader
  /** Turned around: the next part is the last. */
  readonly #parts: Part[] = []
  /** The nodes among them. */
  readonly #unread = new Set<string>()

  private constructor(reader: NodeReader) {
    this.#reader = reader
  }

  static async open(root: string | null, reader: NodeReader): Promise<Side> {
    const side = new Side(reader)
    if (root !== null) side.#spread(await reader.root(root), null)
    return side
  }

  get first(): Part | null {
    return this.#parts.at(-1) ?? null
  }

  /** Leaves the next part behind; its entry, if it is one. */
  pass(): ManifestEntry | null {
    const part = this.#parts.pop()
    if (part === undefined || 'entry' in part) return part?.entry ?? null
    this.#unread.delete(part.child.sha256)
    return null
  }

  /** Puts what the next part, a node, holds in its place, and sends for the nodes after it that will be asked for soon. */
  async enter(other: Side): Promise<void> {
    const part = this.#parts.at(-1)
    if (part === undefined || 'entry' in part) return
    for (const { child } of this.#unlike(other)) this.#reader.expect(child)
    const node = await this.#reader.child(part.child, part.level, part.next)
    this.pass()
    this.#spread(node, part.next)
  }

  /** The next nodes on the level of the first that the other side does not show as well. */
  #unlike(other: Side): NodePart[] {
    const found: NodePart[] = []
    for (let at = this.#parts.length - 1; at >= 0 && found.length < AHEAD; at--) {
      const part = this.#parts[at]
      if (part === undefined || 'entry' in part || part.level !== (found[0] ?? part).level) break
      if (!other.#unread.has(part.child.sha256)) found.push(part)
    }
    return found
  }

  #spread(node: ManifestNode, next: string | null): void {
    if (isLeaf(node)) {
      for (const item of node.items.toReversed()) this.#parts.push(item)
      return
    }
    let end = next
    for (const child of node.children.toReversed()) {
      this.#parts.push({ key: child.key, child, level: node.level - 1, next: end })
      this.#unread.add(child.sha256)
      end = child.key
    }
  }
}

/** Whether a node must be read before the two sides can be compared: not while the other side is behind it, or begins where it does with a larger node. */
function opensNow(part: Part | null, other: Part | null): boolean {
  if (part === null || 'entry' in part) return false
  if (other === null || part.key < other.key) return true
  return part.key === other.key && ('entry' in other || other.level <= part.level)
}

const isSameNode = (a: Part, b: Part): boolean => 'child' in a && 'child' in b && a.child.sha256 === b.child.sha256 && a.level === b.level

const isEqual = (a: ManifestEntry, b: ManifestEntry): boolean =>
  a.type === b.type && a.mode === b.mode && a.sha256 === b.sha256 && a.link_target === b.link_target && a.size === b.size && a.mtime_ms === b.mtime_ms
