/** Makes a manifest's tree of its sorted entries, in one pass from the left: at each level the items of the node that is still open, and whole nodes of an older tree where they fit. */
import { MANIFEST_LIMITS, treeRefused } from '@autovibe/core/checkpoints/manifest.ts'
import { beginsNode, rankOf } from '@autovibe/core/checkpoints/manifest-tree/boundaries.ts'
import {
  branchTotals,
  type ChildRef,
  encodeBranch,
  encodeLeaf,
  type LeafItem,
  leafTotals,
  type TreeTotals,
} from '@autovibe/core/checkpoints/manifest-tree/node.ts'
import type { WriteNode } from './ports.ts'

/** Nodes being written at once; whoever adds waits for `room` beyond it. */
const WRITES_MAX = 16

interface RankedItem extends LeafItem {
  readonly rank: number
}

interface WrittenNode extends TreeTotals {
  readonly key: string
  readonly rank: number
  readonly path: string
  readonly level: number
  readonly sha256: Promise<string>
  /** Taken over from the older tree. */
  readonly isOld: boolean
}

export interface WrittenRoot extends TreeTotals {
  readonly level: number
  readonly sha256: string
  readonly isOld: boolean
}

export class TreeWriter {
  readonly #write: WriteNode
  #leaf: RankedItem[] = []
  /** The open branch of level 1, of level 2, and so on. A level is there when it has got a first node. */
  readonly #branches: WrittenNode[][] = []
  readonly #writing = new Set<Promise<string>>()
  #entries = 0
  #bytes = 0

  constructor(write: WriteNode) {
    this.#write = write
  }

  /** The next entry; all must come sorted. */
  add({ key, entry, line }: LeafItem): void {
    this.#count(1, entry.type === 'file' ? entry.size : 0)
    const rank = rankOf(key)
    if (this.#begins(0, rank)) this.#close(0)
    this.#leaf.push({ key, rank, entry, line })
  }

  /** Whether a node of an older tree that begins with `key` fits here as it is; if so, it must follow next. Nothing of that tree may be missing between it and the one before it. */
  fits(key: string, level: number): boolean {
    const rank = rankOf(key)
    for (let at = 0; at <= level; at++) {
      if (!this.#begins(at, rank)) return false
      this.#close(at)
    }
    return true
  }

  take(child: ChildRef, level: number): void {
    this.#count(child.entries, child.bytes)
    this.#push({ ...child, sha256: Promise.resolve(child.sha256), rank: rankOf(child.key), level, isOld: true })
  }

  /** Whether `room` must be awaited before more is added. */
  get isFull(): boolean {
    return this.#writing.size >= WRITES_MAX
  }

  async room(): Promise<void> {
    while (this.isFull) await Promise.race(this.#writing)
  }

  /** Closes what is open. The root is the lowest node that is alone on its level. */
  async finish(): Promise<WrittenRoot> {
    if (this.#entries === 0) return { level: 0, sha256: await this.#start(async () => encodeLeaf([])), isOld: false, entries: 0, files: 0, bytes: 0 }
    this.#close(0)
    for (let level = 1; ; level++) {
      const [first, second] = this.#branches[level - 1] ?? []
      if (first !== undefined && second === undefined && this.#branches.length === level) return { ...first, sha256: await first.sha256 }
      this.#close(level)
    }
  }

  /** Waits until no write is under way, however they end. */
  async settle(): Promise<void> {
    while (this.#writing.size > 0) await Promise.allSettled(this.#writing)
  }

  #begins(level: number, rank: number): boolean {
    const items: readonly { readonly rank: number }[] = level === 0 ? this.#leaf : (this.#branches[level - 1] ?? [])
    return beginsNode(level, items.length, items.at(-1)?.rank ?? 0, rank)
  }

  /** Writes the open node of a level, if it holds anything, and hands it to the level above. */
  #close(level: number): void {
    if (level === 0) this.#closeLeaf()
    else this.#closeBranch(level)
  }

  #closeLeaf(): void {
    const items = this.#leaf
    const [first] = items
    if (first === undefined) return
    this.#leaf = []
    const sha256 = this.#start(async () => encodeLeaf(items))
    this.#push({ key: first.key, rank: first.rank, path: first.entry.path, level: 0, sha256, isOld: false, ...leafTotals(items) })
  }

  #closeBranch(level: number): void {
    const children = this.#branches[level - 1] ?? []
    const [first] = children
    if (first === undefined) return
    this.#branches[level - 1] = []
    const sha256 = this.#start(async () => {
      const hashes = await Promise.all(children.map((child) => child.sha256))
      return encodeBranch(
        level,
        children.map((child, index) => ({ ...child, sha256: hashes[index] ?? '' })),
      )
    })
    this.#push({ key: first.key, rank: first.rank, path: first.path, level, sha256, isOld: false, ...branchTotals(children) })
  }

  #push(node: WrittenNode): void {
    const level = node.level + 1
    while (this.#branches.length < level) this.#branches.push([])
    if (this.#begins(level, node.rank)) this.#close(level)
    this.#branches[level - 1]?.push(node)
  }

  #start(encode: () => Promise<Uint8Array>): Promise<string> {
    const written = encode().then((bytes) => this.#write(bytes))
    this.#writing.add(written)
    const done = (): void => {
      this.#writing.delete(written)
    }
    // A failure reaches the root through every branch above; here it only stops being waited for.
    written.then(done, done)
    return written
  }

  #count(entries: number, bytes: number): void {
    this.#entries += entries
    this.#bytes += bytes
    if (this.#entries > MANIFEST_LIMITS.entries) throw treeRefused(`more than ${MANIFEST_LIMITS.entries} entries`)
    if (!Number.isSafeInteger(this.#bytes)) throw treeRefused(`its files hold more than ${Number.MAX_SAFE_INTEGER} bytes`)
  }
}
