/** Reads a diff of the Hub as changes that may be applied; every path in it is hostile input. */
import { AutovibeError, type CheckpointDiff, type FileChange, type ManifestEntry } from '@autovibe/contract'
import { decodeManifestPath, linkDanger, pathDanger } from './paths.ts'

export type Version =
  | { readonly kind: 'absent' }
  | { readonly kind: 'file'; readonly sha256: string; readonly size: number; readonly executable: boolean }
  | { readonly kind: 'symlink'; readonly target: Buffer }

export interface Change {
  /** As the manifest writes it: for people, and to ask the Hub. */
  readonly name: string
  readonly path: Buffer
  readonly before: Version
  readonly after: Version
  /** The manifest's own paths, which the content is asked by. */
  readonly beforePath: string | null
  readonly afterPath: string | null
}

export interface ReadChanges {
  readonly changes: readonly Change[]
  /** Files of repositories within the project, which git does not track either. */
  readonly leftOut: readonly string[]
}

export interface ReadOptions {
  /** Write links that lead out of the project too. */
  readonly allowOutsideLinks?: boolean | undefined
}

const TOTAL_BYTES = 4 * 1024 ** 3

/** The changes of files and links, sorted by path; directories come and go with their files. Throws `apply.conflict` for a path or link that must not be written. */
export function readChanges(diff: CheckpointDiff, options: ReadOptions = {}): ReadChanges {
  const changes: Change[] = []
  const leftOut: string[] = []
  let bytes = 0
  for (const file of diff.files) {
    // Packages and build results: not part of the change, and possibly very many.
    if (file.ignored) continue
    const path = decodeManifestPath(file.path)
    if (!path) throw refused(file.path, 'it is not written as a manifest writes paths')
    const danger = pathDanger(path)
    if (danger !== undefined) {
      // An inner repository is no attack as long as it is spelled as one; any other spelling is.
      if (!isInnerRepository(path)) throw refused(file.path, danger)
      leftOut.push(file.path)
      continue
    }
    const change = {
      name: file.path,
      path,
      before: versionOf(file.before),
      after: versionOf(file.after),
      beforePath: entryPath(file, file.before),
      afterPath: entryPath(file, file.after),
    }
    if (change.before.kind === 'absent' && change.after.kind === 'absent') continue
    if (change.after.kind === 'symlink' && options.allowOutsideLinks !== true) {
      const outside = linkDanger(path, change.after.target)
      if (outside !== undefined)
        throw refused(file.path, `it is a link and ${outside}`, 'Look at it with autovibe diff; to write it all the same: --allow-outside-links')
    }
    if (change.after.kind === 'file') bytes += change.after.size
    changes.push(change)
  }
  if (bytes > TOTAL_BYTES) throw new AutovibeError('apply.conflict', `The changed files hold ${bytes} bytes; at most ${TOTAL_BYTES} are applied.`)
  changes.sort((a, b) => Buffer.compare(a.path, b.path))
  refuseImpossible(changes)
  return { changes, leftOut }
}

function isInnerRepository(path: Buffer): boolean {
  const parts = path.toString('utf8').split('/')
  const at = parts.indexOf('.git')
  return at > 0 && pathDanger(Buffer.from(parts.slice(0, at).join('/'))) === undefined
}

function versionOf(entry: ManifestEntry | null): Version {
  if (!entry || entry.type === 'directory') return { kind: 'absent' }
  if (entry.type === 'symlink') {
    const target = entry.link_target === null ? undefined : decodeManifestPath(entry.link_target)
    if (!target) throw refused(entry.path, 'it is a link without a readable target')
    return { kind: 'symlink', target }
  }
  if (entry.sha256 === null || !/^[0-9a-f]{64}$/.test(entry.sha256) || !Number.isSafeInteger(entry.size) || entry.size < 0)
    throw refused(entry.path, 'the manifest does not say what it holds')
  return { kind: 'file', sha256: entry.sha256, size: entry.size, executable: (entry.mode & 0o100) !== 0 }
}

/** An entry that stands for another path than its change would put one file's content in the place of another. */
function entryPath(file: FileChange, entry: ManifestEntry | null): string | null {
  if (!entry) return null
  if (entry.path !== `project/${file.path}` && entry.path !== file.path) throw refused(file.path, `its entry is of another path (${entry.path})`)
  return entry.path
}

/** No path twice, and nothing below a file or a link: no real tree holds either. */
function refuseImpossible(changes: readonly Change[]): void {
  const seen = new Set<string>()
  const leaves = new Set<string>()
  for (const change of changes) {
    const key = change.path.toString('latin1')
    if (seen.has(key)) throw refused(change.name, 'it appears twice')
    seen.add(key)
    if (change.after.kind !== 'absent') leaves.add(key)
  }
  for (const change of changes) {
    if (change.after.kind === 'absent') continue
    const parts = change.path.toString('latin1').split('/')
    for (let length = 1; length < parts.length; length++)
      if (leaves.has(parts.slice(0, length).join('/'))) throw refused(change.name, 'it lies below another file')
  }
}

const refused = (name: string, why: string, fix?: string): AutovibeError =>
  new AutovibeError('apply.conflict', `The path ${JSON.stringify(name)} is refused: ${why}. Nothing was changed.`, {
    fix: fix ?? 'Do not trust this checkpoint; look at it with autovibe diff.',
  })
