/** Whether each entry of a sorted sequence lies in a directory that came before it, with memory for the depth of a path and no more. */
import type { ManifestEntry } from '@autovibe/contract'

interface Open {
  readonly path: string
  /** The first key behind all that lies in it: `0` is the character after the slash. */
  readonly end: string
}

/**
 * In the order of bytes, `a-b` comes between `a` and `a/x`; so a directory stays open until its own range has passed. Every open directory's path is a prefix of the next one's,
 * which is why the last to be opened is the first to end.
 */
export class OpenFolders {
  readonly #open: Open[] = []
  readonly #paths = new Set<string>()

  /** `around`: directories that the sequence lies in, as path and key, the outer ones first; none for the whole tree. */
  constructor(around: readonly { readonly path: string; readonly key: string }[] = []) {
    for (const { path, key } of around) this.#push(path, key)
  }

  /** False when the entry lies in no directory of the sequence. */
  admit(entry: ManifestEntry, key: string): boolean {
    for (let last = this.#open.at(-1); last !== undefined && last.end <= key; last = this.#open.at(-1)) {
      this.#open.pop()
      this.#paths.delete(last.path)
    }
    const slash = entry.path.lastIndexOf('/')
    if (slash !== -1 && !this.#paths.has(entry.path.slice(0, slash))) return false
    if (entry.type === 'directory') this.#push(entry.path, key)
    return true
  }

  #push(path: string, key: string): void {
    this.#open.push({ path, end: `${key}0` })
    this.#paths.add(path)
  }
}
