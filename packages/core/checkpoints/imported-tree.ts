/** What becomes of the entries of somebody's tar: the entries of a tree that stays within itself, or a refusal that names the path. */
import { AutovibeError, type ManifestEntry, type TarEntry } from '@autovibe/contract'
import { entryProblem, MANIFEST_LIMITS, pathProblem, quotePath } from './manifest.ts'
import { encodePath } from './paths.ts'

export type ImportedEntry = Omit<ManifestEntry, 'sha256'>

export interface Admitted {
  /** Folders first, where the tar has not told them. */
  readonly entries: readonly ImportedEntry[]
  /** Of a file: where its content begins in the tar. Of a hard link that is the place of the file it names. */
  readonly offset: number
}

interface Known {
  readonly entry: ImportedEntry
  readonly offset: number
}

/** Neither set-user-id nor set-group-id: nobody here has given those rights. */
const MODE_BITS = 0o1777
const FOLDER_MODE = 0o755
const NOTHING: Admitted = { entries: [], offset: 0 }

/** Of all files together, each counted as often as it has names. */
const IMPORTED_BYTES_MAX = 64 * 1024 ** 3

export class ImportedTree {
  readonly #prefix: string
  readonly #timeMs: number
  readonly #most: { readonly entries: number; readonly textBytes: number }
  readonly #known = new Map<string, Known>()
  #textBytes = 0
  #entries = 0
  #contentBytes = 0

  /** `within`: the folder that all of it goes into, or null for the whole tree. Folders that the tar does not tell get the time `timeMs`. */
  constructor(within: string | null, timeMs: number, most: { readonly entries: number; readonly textBytes: number } = MANIFEST_LIMITS) {
    this.#most = most
    this.#prefix = within === null ? '' : `${within}/`
    this.#timeMs = timeMs
  }

  /** `archive.invalid` for what has no place in a tree. */
  admit(tar: TarEntry, offset: number): Admitted {
    const path = this.#place(tar.path)
    if (path === null) {
      // The folder that was packed: what it is called and may do is not up to the tar.
      if (tar.type === 'directory') return NOTHING
      throw importRefused('an entry without a name is no folder')
    }
    if (tar.type === 'special') throw importRefused(`${quotePath(path)} is a device, a pipe or a socket`)
    const known = tar.type === 'link' ? this.#linked(path, tar.target ?? new Uint8Array(0)) : { entry: this.#entryOf(tar, path), offset }
    const entry = { ...known.entry, path }
    const before = this.#known.get(path)
    if (before !== undefined && !(before.entry.type === 'directory' && entry.type === 'directory')) throw importRefused(`${quotePath(path)} comes twice`)
    const entries = [...this.#parents(path), entry]
    for (const one of entries) this.#note(one, known.offset)
    return { entries, offset: known.offset }
  }

  /** Folders that have to be there and that nothing has told of. `archive.invalid` where something else is in the place of one. */
  complete(folders: readonly string[]): readonly ImportedEntry[] {
    const missing = folders.filter((folder) => {
      const there = this.#known.get(folder)
      if (there !== undefined && there.entry.type !== 'directory') throw importRefused(`${quotePath(folder)} is no folder`)
      return there === undefined
    })
    return missing.map((path) => this.#note(this.#folder(path), 0))
  }

  /** Null: the folder that was packed itself. */
  #place(bytes: Uint8Array): string | null {
    const names = encodePath(bytes)
    if (names === '' || names.includes('\0')) throw importRefused('a name is empty or holds a NUL')
    if (names.startsWith('/')) throw importRefused(`${quotePath(names)} is an absolute path`)
    const inner = names.replace(/^(?:\.\/+)+/, '').replace(/^\.$/, '')
    if (inner === '') return null
    const path = this.#prefix + inner
    const problem = pathProblem(path)
    if (problem !== null) throw importRefused(problem)
    return path
  }

  #entryOf({ type, mode, size, mtimeMs, target }: TarEntry, path: string): ImportedEntry {
    const entry = {
      path,
      type: type === 'directory' || type === 'symlink' ? type : 'file',
      mode: mode & MODE_BITS,
      size: type === 'file' ? size : 0,
      mtime_ms: mtimeMs,
      link_target: target === null ? null : encodePath(target),
    } as const
    const problem = entryProblem({ ...entry, sha256: null }, false)
    if (problem !== null) throw importRefused(problem)
    return entry
  }

  /** A tree knows no hard links: what two names share becomes two files. */
  #linked(path: string, target: Uint8Array): Known {
    const place = this.#place(target)
    const known = place === null ? undefined : this.#known.get(place)
    if (known === undefined) throw importRefused(`${quotePath(path)} is a hard link to ${quotePath(encodePath(target))}, which does not come before it`)
    if (known.entry.type === 'directory') throw importRefused(`${quotePath(path)} is a hard link to a folder`)
    return known
  }

  #parents(path: string): ImportedEntry[] {
    const missing: ImportedEntry[] = []
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      const parent = path.slice(0, slash)
      const there = this.#known.get(parent)
      // A link in place of a folder would lead what comes next out of the tree.
      if (there !== undefined && there.entry.type !== 'directory') throw importRefused(`${quotePath(path)} lies in something that is no folder`)
      if (there !== undefined) break
      missing.unshift(this.#folder(parent))
    }
    return missing
  }

  #folder(path: string): ImportedEntry {
    return { path, type: 'directory', mode: FOLDER_MODE, size: 0, mtime_ms: this.#timeMs, link_target: null }
  }

  #note(entry: ImportedEntry, offset: number): ImportedEntry {
    // Also what comes again: each is a change that a capture has to hold.
    this.#textBytes += entry.path.length + (entry.link_target?.length ?? 0)
    if (++this.#entries > this.#most.entries) throw importRefused(`it has more than ${this.#most.entries} entries`)
    if (this.#textBytes > this.#most.textBytes) throw importRefused(`its paths are longer than ${this.#most.textBytes} bytes together`)
    // Further names of one file each become a file of their own.
    this.#contentBytes += entry.size
    if (this.#contentBytes > IMPORTED_BYTES_MAX) throw importRefused(`its files are larger than ${IMPORTED_BYTES_MAX / 1024 ** 3} GiB together`)
    this.#known.set(entry.path, { entry, offset })
    return entry
  }
}

/** The problem as the rest of a sentence. */
export const importRefused = (problem: string): AutovibeError =>
  new AutovibeError('archive.invalid', `The archive cannot be imported: ${problem}. Nothing was changed.`, {
    fix: 'Make it of the project’s own files: tar --format=posix -cf FILE -C FOLDER .',
  })
