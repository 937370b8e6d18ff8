/** Changes to a manifest, taken in their order and kept as what they come to: which paths are put, which are gone, and beneath which nothing of the old tree is left. */
import type { ManifestEntry } from '@autovibe/contract'
import { entryProblem, MANIFEST_LIMITS, type ManifestChange, normalise, pathProblem, quotePath, sortKey, treeRefused } from '../manifest.ts'

/** What becomes of one path. */
export interface Edit {
  readonly key: string
  /** Null: it is gone. */
  readonly entry: ManifestEntry | null
  /** What the old tree holds beneath it is gone too. */
  readonly clears: boolean
}

interface Place {
  /** Undefined: as the old tree has it. */
  entry: ManifestEntry | null | undefined
  clears: boolean
  children: Map<string, Place> | null
}

export class PendingChanges {
  readonly #root: Place = { entry: undefined, clears: false, children: null }
  #count = 0

  /** The path whose type in the old tree decides whether the change is possible, or null when that is known without it. */
  question(change: ManifestChange): string | null {
    if (change.kind === 'remove') return null
    const parent = parentOf(change.entry.path)
    return parent === null || pathProblem(change.entry.path) !== null || this.#isDirectory(parent) !== null ? null : parent
  }

  /** `wasDirectory` answers for the old tree, at least for what `question` gave. `substrate.failed` for a change that no tree can hold. */
  add(change: ManifestChange, wasDirectory: (path: string) => boolean): void {
    if (++this.#count > MANIFEST_LIMITS.changes) throw treeRefused(`more than ${MANIFEST_LIMITS.changes} changes`)
    const problem = change.kind === 'put' ? entryProblem(change.entry) : pathProblem(change.path)
    if (problem !== null) throw treeRefused(problem)
    if (change.kind === 'remove') {
      this.#remove(change.path)
      return
    }
    const parent = parentOf(change.entry.path)
    if (parent !== null && !(this.#isDirectory(parent) ?? wasDirectory(parent))) {
      // A link as a parent would lead a restore out of its folder.
      throw treeRefused(`${quotePath(change.entry.path)} lies in something that is no directory of the tree`)
    }
    this.#put(normalise(change.entry))
  }

  /** What the changes come to, one edit a path, in no order. */
  *edits(): Generator<Edit, void> {
    const waiting: { readonly place: Place; readonly path: string }[] = [{ place: this.#root, path: '' }]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { place, path } = next
      if (place.entry !== undefined) yield { key: sortKey(path), entry: place.entry, clears: place.clears }
      if (place.children !== null) for (const [name, child] of place.children) waiting.push({ place: child, path: path === '' ? name : `${path}/${name}` })
    }
  }

  /** Null: the changes do not say. */
  #isDirectory(path: string): boolean | null {
    let place = this.#root
    for (const name of path.split('/')) {
      const child = place.children?.get(name)
      if (child === undefined) return place.clears ? false : null
      place = child
    }
    return place.entry === undefined ? null : place.entry?.type === 'directory'
  }

  #put(entry: ManifestEntry): void {
    const isDirectory = entry.type === 'directory'
    const { parent, name } = this.#parentPlace(entry.path)
    parent.children ??= new Map()
    const known = parent.children.get(name)
    if (known === undefined) parent.children.set(name, { entry, clears: !isDirectory || parent.clears, children: null })
    else {
      known.entry = entry
      if (!isDirectory) {
        known.clears = true
        known.children = null
      }
    }
  }

  #remove(path: string): void {
    const { parent, name } = this.#parentPlace(path)
    parent.children ??= new Map()
    parent.children.set(name, { entry: null, clears: true, children: null })
  }

  #parentPlace(path: string): { readonly parent: Place; readonly name: string } {
    const names = path.split('/')
    const name = names.pop() ?? ''
    let parent = this.#root
    for (const step of names) {
      parent.children ??= new Map()
      // Where nothing of the old tree is left, a place that no change put there does not exist.
      const next = parent.children.get(step) ?? { entry: parent.clears ? null : undefined, clears: parent.clears, children: null }
      parent.children.set(step, next)
      parent = next
    }
    return { parent, name }
  }
}

function parentOf(path: string): string | null {
  const slash = path.lastIndexOf('/')
  return slash === -1 ? null : path.slice(0, slash)
}
