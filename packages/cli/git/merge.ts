/** Decides, path by path, how a machine's change and the checkout come together. */
import type { Version } from './changes.ts'

/** What stands in the checkout; `other` is neither file nor link (a directory, a socket …) or cannot be reached safely. */
export type Ours = Version | { readonly kind: 'directory' } | { readonly kind: 'other'; readonly what: string }

export type Decision =
  | { readonly do: 'nothing' }
  /** Theirs as it is; `executable` has already been merged. */
  | { readonly do: 'take'; readonly executable: boolean }
  /** Both changed the text of a file. */
  | { readonly do: 'merge'; readonly executable: boolean }
  | { readonly do: 'conflict'; readonly why: string }

/** Three-way: `base` is what the machine started from, `ours` the checkout now, `theirs` the machine's result. */
export function decide(base: Version, ours: Ours, theirs: Version): Decision {
  if (ours.kind === 'other') return conflict(ours.what)
  if (ours.kind === 'directory') {
    // It may be on its way out with the files in it; whoever writes finds out.
    return base.kind === 'absent' && theirs.kind !== 'absent' ? { do: 'take', executable: isExecutable(theirs) } : conflict('a directory is in its place')
  }
  if (same(ours, theirs)) return { do: 'nothing' }
  if (same(ours, base)) return { do: 'take', executable: isExecutable(theirs) }
  if (base.kind === 'file' && ours.kind === 'file' && theirs.kind === 'file') {
    const executable = ours.executable === base.executable ? theirs.executable : ours.executable
    if (ours.sha256 === base.sha256) return { do: 'take', executable }
    return { do: 'merge', executable }
  }
  if (base.kind === 'absent') return conflict('it exists in the checkout with another content')
  if (ours.kind === 'absent') return conflict('it is gone from the checkout')
  if (theirs.kind === 'absent') return conflict('the machine removed it and the checkout changed it')
  return conflict('both changed it, and it is not a text')
}

function same(a: Version, b: Version): boolean {
  if (a.kind === 'file' && b.kind === 'file') return a.sha256 === b.sha256 && a.executable === b.executable
  if (a.kind === 'symlink' && b.kind === 'symlink') return a.target.equals(b.target)
  return a.kind === 'absent' && b.kind === 'absent'
}

const isExecutable = (version: Version): boolean => version.kind === 'file' && version.executable
const conflict = (why: string): Decision => ({ do: 'conflict', why })
