/**
 * A node of a manifest as bytes: a header line that names its level, then one JSON line for each item. A leaf (level 0) holds entries, a branch the nodes of the level beneath it, each
 * by its first path, its SHA-256 and what it holds; all sorted by the bytes of the path. The SHA-256 of the root's bytes names the manifest and vouches for the whole tree.
 */
import { AutovibeError, ManifestEntry } from '@autovibe/contract'
import { entryProblem, MANIFEST_LIMITS, pathProblem, sortKey } from '../manifest.ts'
import { itemsMax, LEVELS_MAX, NODE_BYTES_MAX } from './boundaries.ts'

/** What the subtree of a node holds. */
export interface TreeTotals {
  readonly entries: number
  readonly files: number
  /** Of the files' contents. */
  readonly bytes: number
}

export interface LeafItem {
  /** Sorts as the path's bytes do. */
  readonly key: string
  readonly entry: ManifestEntry
  /** As it stands in the leaf. Kept, since most entries of a leaf that is written again have not changed. */
  readonly line: string
}

export interface ChildRef extends TreeTotals {
  readonly key: string
  /** Of its first entry. */
  readonly path: string
  readonly sha256: string
}

export interface LeafNode extends TreeTotals {
  readonly level: 0
  readonly items: readonly LeafItem[]
}

export interface BranchNode extends TreeTotals {
  /** One more than its children's. */
  readonly level: number
  readonly children: readonly ChildRef[]
}

export type ManifestNode = LeafNode | BranchNode

export const isLeaf = (node: ManifestNode): node is LeafNode => 'items' in node

const ENTRY_MEMBERS = Object.keys(ManifestEntry.shape).length
const header = (level: number): string => `{"format":"autovibe-manifest","version":2,"level":${level}}`
const HEADERS = Array.from({ length: LEVELS_MAX }, (_, level) => header(level))

export function leafItem(key: string, entry: ManifestEntry): LeafItem {
  const { path, type, mode, size, mtime_ms, sha256, link_target } = entry
  return { key, entry, line: JSON.stringify({ path, type, mode, size, mtime_ms, sha256, link_target }) }
}

export function encodeLeaf(items: readonly { readonly line: string }[]): Buffer {
  let text = `${header(0)}\n`
  for (const { line } of items) text += `${line}\n`
  return Buffer.from(text)
}

export function encodeBranch(level: number, children: readonly Omit<ChildRef, 'key'>[]): Buffer {
  let text = `${header(level)}\n`
  for (const { path, sha256, entries, files, bytes } of children) text += `${JSON.stringify({ path, sha256, entries, files, bytes })}\n`
  return Buffer.from(text)
}

/** The node of these bytes. `checkpoint.corrupt` for anything that is none; whether it is the one that its parent means is `childProblem`'s to say. */
export function decodeNode(bytes: Uint8Array): ManifestNode {
  if (bytes.length > NODE_BYTES_MAX) throw corruptNode(`it is larger than ${NODE_BYTES_MAX} bytes`)
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8').split('\n')
  if (lines.pop() !== '') throw corruptNode('its last line does not end')
  const level = HEADERS.indexOf(lines[0] ?? '')
  if (level === -1) throw corruptNode('its header is not that of a node of version 2')
  if (lines.length - 1 > itemsMax(level)) throw corruptNode(`it holds more than ${itemsMax(level)} items`)
  return level === 0 ? decodeLeaf(lines) : decodeBranch(level, lines)
}

/** Why a node is not the child that its parent's line describes, as a sentence's end, or null. `next`: where what follows it begins; null when nothing does. */
export function childProblem(child: ChildRef, level: number, next: string | null, node: ManifestNode): string | null {
  const items: readonly { readonly key: string }[] = isLeaf(node) ? node.items : node.children
  if (node.level !== level) return `it is of level ${node.level} where one of level ${level} belongs`
  if (items[0]?.key !== child.key) return 'it does not begin with the path that its parent names'
  if (next !== null && (items.at(-1)?.key ?? '') >= next) return 'it reaches into the node after it'
  const same = node.entries === child.entries && node.files === child.files && node.bytes === child.bytes
  return same ? null : 'it does not hold what its parent says'
}

export function leafTotals(items: readonly { readonly entry: ManifestEntry }[]): TreeTotals {
  let files = 0
  let bytes = 0
  for (const { entry } of items) {
    if (entry.type !== 'file') continue
    files++
    bytes += entry.size
  }
  return { entries: items.length, files, bytes }
}

export function branchTotals(children: readonly TreeTotals[]): TreeTotals {
  let entries = 0
  let files = 0
  let bytes = 0
  for (const child of children) {
    entries += child.entries
    files += child.files
    bytes += child.bytes
  }
  return { entries, files, bytes }
}

export function corruptNode(problem: string, cause?: unknown): AutovibeError {
  return new AutovibeError('checkpoint.corrupt', `A node of the manifest cannot be read: ${problem}.`, {
    cause,
    fix: 'Use another checkpoint: autovibe checkpoint ls',
  })
}

function decodeLeaf(lines: readonly string[]): LeafNode {
  const items: LeafItem[] = []
  for (let line = 1; line < lines.length; line++) {
    const entry = parseLine(lines, line)
    if (!isEntry(entry)) throw corruptLine(line, 'it is no manifest entry')
    const problem = entryProblem(entry)
    if (problem !== null) throw corruptLine(line, problem)
    items.push({ key: nextKey(entry.path, items, line), entry, line: lines[line] ?? '' })
  }
  return checked({ level: 0, items, ...leafTotals(items) })
}

function decodeBranch(level: number, lines: readonly string[]): BranchNode {
  const children: ChildRef[] = []
  for (let line = 1; line < lines.length; line++) {
    const { path, sha256, entries, files, bytes } = (parseLine(lines, line) ?? {}) as Partial<Record<string, unknown>>
    if (typeof path !== 'string' || typeof sha256 !== 'string' || !isSha256(sha256)) throw corruptLine(line, 'it names no node')
    if (!isCount(entries) || !isCount(files) || !isCount(bytes) || entries === 0 || files > entries) throw corruptLine(line, 'its counts are impossible')
    const problem = pathProblem(path)
    if (problem !== null) throw corruptLine(line, problem)
    children.push({ key: nextKey(path, children, line), path, sha256, entries, files, bytes })
  }
  if (children.length === 0) throw corruptNode('it has no children')
  return checked({ level, children, ...branchTotals(children) })
}

/** Totals bound every walk: a parent's are compared with each child's, so that no tree is larger than its root says. */
function checked<T extends ManifestNode>(node: T): T {
  if (node.entries > MANIFEST_LIMITS.entries) throw corruptNode(`it holds more than ${MANIFEST_LIMITS.entries} entries`)
  if (!Number.isSafeInteger(node.bytes)) throw corruptNode('it holds more bytes than can be counted')
  return node
}

/** The types of an entry's members, and no member beyond them; what their values mean is `entryProblem`'s to judge. By hand: the schema takes four times as long, on every node read. */
function isEntry(json: unknown): json is ManifestEntry {
  if (typeof json !== 'object' || json === null) return false
  const { path, mode, size, mtime_ms, sha256, link_target } = json as Partial<Record<string, unknown>>
  if (typeof path !== 'string' || typeof mode !== 'number' || typeof size !== 'number' || typeof mtime_ms !== 'number') return false
  if (sha256 !== null && (typeof sha256 !== 'string' || !isSha256(sha256))) return false
  return (link_target === null || typeof link_target === 'string') && Object.keys(json).length === ENTRY_MEMBERS
}

const isSha256 = (text: string): boolean => text.length === 64 && /^[0-9a-f]+$/.test(text)

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

function nextKey(path: string, before: readonly { readonly key: string }[], line: number): string {
  const key = sortKey(path)
  if (key <= (before.at(-1)?.key ?? '')) throw corruptLine(line, 'the paths are not sorted')
  return key
}

function parseLine(lines: readonly string[], line: number): unknown {
  try {
    return JSON.parse(lines[line] ?? '')
  } catch (error) {
    throw corruptLine(line, 'it is not JSON', error)
  }
}

const corruptLine = (line: number, problem: string, cause?: unknown): AutovibeError => corruptNode(`line ${line + 1}: ${problem}`, cause)
