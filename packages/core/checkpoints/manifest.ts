/** A manifest: every entry of a tree, sorted by the bytes of its path; how one follows from another. */
import { AutovibeError, type ManifestEntry } from '@autovibe/contract'
import { decodePath } from './paths.ts'

export const MANIFEST_LIMITS = {
  entries: 1_000_000,
  changes: 2_000_000,
  /** Of all paths and link targets together. */
  textBytes: 256 * 1024 * 1024,
  /** PATH_MAX and NAME_MAX of Linux, in bytes. */
  pathBytes: 4095,
  nameBytes: 255,
  /** A sparse file takes no disk, but reading it takes time: 64 GiB. */
  fileBytes: 64 * 1024 * 1024 * 1024,
} as const

export type ManifestChange = { readonly kind: 'put'; readonly entry: ManifestEntry } | { readonly kind: 'remove'; readonly path: string }

interface Node {
  entry: ManifestEntry | null
  children: Map<string, Node> | null
}

/**
 * The manifest that `parent` becomes by the changes, in their order; sorted. `parent` must be a manifest (sorted, checked).
 * `substrate.failed` for an entry that no tree can hold: a bad path, a parent that is missing or is no directory, too many of them.
 */
export function applyChanges(parent: readonly ManifestEntry[], changes: Iterable<ManifestChange>): ManifestEntry[] {
  const root: Node = { entry: null, children: new Map() }
  for (const entry of parent) put(root, entry)
  let count = 0
  for (const change of changes) {
    if (++count > MANIFEST_LIMITS.changes) throw treeRefused(`more than ${MANIFEST_LIMITS.changes} changes`)
    const problem = change.kind === 'put' ? entryProblem(change.entry) : pathProblem(change.path)
    if (problem !== null) throw treeRefused(problem)
    if (change.kind === 'put') put(root, normalise(change.entry))
    else remove(root, change.path)
  }
  const entries = collect(root)
  if (entries.length > MANIFEST_LIMITS.entries) throw treeRefused(`more than ${MANIFEST_LIMITS.entries} entries`)
  return sortEntries(entries)
}

export interface ManifestTotals {
  readonly files: number
  readonly directories: number
  readonly symlinks: number
  /** Of the files' contents. */
  readonly bytes: number
}

export function manifestTotals(entries: readonly ManifestEntry[]): ManifestTotals {
  const totals = { files: 0, directories: 0, symlinks: 0, bytes: 0 }
  for (const entry of entries) {
    if (entry.type === 'directory') totals.directories++
    else if (entry.type === 'symlink') totals.symlinks++
    else {
      totals.files++
      totals.bytes += entry.size
    }
  }
  return totals
}

/** What is wrong with an entry as a sentence's end, or null. A file may still lack its SHA-256 when `hashed` is false. */
export function entryProblem(entry: ManifestEntry, hashed = true): string | null {
  const path = pathProblem(entry.path)
  if (path !== null) return path
  const name = (): string => quotePath(entry.path)
  if (!Number.isInteger(entry.mode) || entry.mode < 0 || entry.mode > 0o7777) return `the mode of ${name()} is not between 0 and 07777`
  if (!Number.isSafeInteger(entry.size) || entry.size < 0) return `the size of ${name()} is not a number of bytes`
  if (!Number.isFinite(entry.mtime_ms)) return `the time of ${name()} is not a number`
  if (entry.type === 'symlink') return entry.sha256 === null ? targetProblem(name, entry.link_target) : `${name()} is a symlink with content`
  if (entry.link_target !== null) return `${name()} is no symlink but has a target`
  if (entry.type === 'directory') return entry.sha256 === null ? null : `${name()} is a directory with content`
  if (entry.type !== 'file') return `${name()} is neither file, directory nor symlink`
  if (entry.size > MANIFEST_LIMITS.fileBytes) return `${name()} is larger than ${MANIFEST_LIMITS.fileBytes} bytes`
  if (hashed && entry.sha256 === null) return `${name()} has no content`
  return null
}

/** What is wrong with a path as a sentence's end, or null: it must be relative, without empty, `.` and `..` parts, in the one spelling that encodePath gives. */
export function pathProblem(path: string): string | null {
  if (path === '') return 'a path is empty'
  // An encoded byte takes at most four characters; what is longer need not be decoded to be refused.
  if (path.length > MANIFEST_LIMITS.pathBytes * 4) return `the path ${quotePath(path)} is longer than ${MANIFEST_LIMITS.pathBytes} bytes`
  if (path.includes('\0')) return `the path ${quotePath(path)} contains a NUL`
  const bytes = isPlain(path) ? path : decoded(path)
  if (bytes === null) return `the path ${quotePath(path)} is not spelled canonically`
  if (bytes.length > MANIFEST_LIMITS.pathBytes) return `the path ${quotePath(path)} is longer than ${MANIFEST_LIMITS.pathBytes} bytes`
  for (let start = 0, end = 0; end < bytes.length; start = end + 1) {
    const slash = bytes.indexOf('/', start)
    end = slash === -1 ? bytes.length : slash
    const length = end - start
    if (length === 0) return `the path ${quotePath(path)} has an empty part`
    if (length <= 2 && bytes[start] === '.' && bytes[end - 1] === '.') return `the path ${quotePath(path)} has the part ${bytes.slice(start, end)}`
    if (length > MANIFEST_LIMITS.nameBytes) return `a name in ${quotePath(path)} is longer than ${MANIFEST_LIMITS.nameBytes} bytes`
  }
  return null
}

/** A path for a message: quoted, cut off after 200 characters, without characters that steer a terminal. */
export function quotePath(path: string): string {
  const cut = path.length > 200 ? `${path.slice(0, 200)}…` : path
  return JSON.stringify(cut).replace(/[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** A text that sorts (by UTF-16 unit) as the path's bytes do. */
export function sortKey(path: string): string {
  return isPlain(path) ? path : latin1(decodePath(path))
}

function sortEntries(entries: ManifestEntry[]): ManifestEntry[] {
  const keyed = entries.map((entry) => ({ key: sortKey(entry.path), entry }))
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  return keyed.map(({ entry }) => entry)
}

/** Only characters whose text is their byte: no escape, no multi-byte character. */
const isPlain = (path: string): boolean => /^\p{ASCII}*$/u.test(path) && !path.includes('\\')

/** The bytes as latin1 text; null unless this is the one spelling of these bytes. */
function decoded(path: string): string | null {
  try {
    return latin1(decodePath(path))
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')

function targetProblem(name: () => string, target: string | null): string | null {
  if (target === null || target === '') return `the symlink ${name()} has no target`
  if (target.length > MANIFEST_LIMITS.pathBytes * 4) return `the target of ${name()} is longer than ${MANIFEST_LIMITS.pathBytes} bytes`
  if (target.includes('\0')) return `the target of ${name()} contains a NUL`
  const bytes = isPlain(target) ? target : decoded(target)
  if (bytes === null) return `the target of ${name()} is not spelled canonically`
  return bytes.length > MANIFEST_LIMITS.pathBytes ? `the target of ${name()} is longer than ${MANIFEST_LIMITS.pathBytes} bytes` : null
}

/** The size of a directory is its file system's affair and would make two equal trees differ. */
export function normalise(entry: ManifestEntry): ManifestEntry {
  const target = entry.link_target
  const size = entry.type === 'file' ? entry.size : target === null ? 0 : sortKey(target).length
  return { path: entry.path, type: entry.type, mode: entry.mode, size, mtime_ms: entry.mtime_ms, sha256: entry.sha256, link_target: target }
}

function put(root: Node, entry: ManifestEntry): void {
  let node = root
  const names = entry.path.split('/')
  const last = names.pop() ?? ''
  for (const name of names) {
    const next = node.children?.get(name)
    // A link as a parent would lead a restore out of its folder.
    if (next?.entry?.type !== 'directory') throw treeRefused(`${quotePath(entry.path)} lies in something that is no directory of the tree`)
    node = next
  }
  node.children ??= new Map()
  const known = node.children.get(last)
  if (known === undefined) node.children.set(last, { entry, children: null })
  else {
    known.entry = entry
    if (entry.type !== 'directory') known.children = null
  }
}

function remove(root: Node, path: string): void {
  let node: Node | undefined = root
  const names = path.split('/')
  const last = names.pop() ?? ''
  for (const name of names) node = node?.children?.get(name)
  node?.children?.delete(last)
}

function collect(root: Node): ManifestEntry[] {
  const entries: ManifestEntry[] = []
  const waiting: Node[] = [root]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (node.entry !== null) entries.push(node.entry)
    if (node.children !== null) for (const child of node.children.values()) waiting.push(child)
  }
  return entries
}

/** The error for a tree that cannot be captured, whatever its machine says: the problem as a sentence's end. */
export function treeRefused(problem: string): AutovibeError {
  return new AutovibeError('substrate.failed', `The tree cannot be captured: ${problem}.`, {
    fix: 'Remove or rename it inside the machine (autovibe exec), then take the checkpoint again.',
  })
}
