/** The changes between two checkpoints as a reviewer reads them: one entry per file, with a patch that `git apply` takes. */
import { isUtf8 } from 'node:buffer'
import type { FileChange, ManifestEntry } from '@autovibe/contract'
import { differenceAt, type EntryDifference } from '@autovibe/core/checkpoints/diff.ts'
import { decodePath } from '@autovibe/core/checkpoints/paths.ts'
import { blobId, gitFileLine, gitMode, gitName, isRefusedByGit, NO_BLOB } from './git-text.ts'
import { ignoredBy } from './ignored.ts'
import type { ProjectStore } from './store.ts'
import { corrupt } from './store-errors.ts'
import { type Effort, newEffort, unifiedText } from './unified-text.ts'

const FILE_BYTES_MAX = 512 * 1024
const PATCH_BYTES_MAX = 8 * 1024 * 1024
/** Contents read for one answer: a change of one line in each of very many files would stay below the limit on patches for ever. */
const READ_BYTES_MAX = 64 * 1024 * 1024

const PROJECT = { within: 'project/', leaveOut: ['.git'] }

/**
 * What changed in the project folder from one manifest to the other, sorted by path. Folders are not listed; `patch` is null (and the counts 0) for what is not
 * UTF-8 text, larger than 512 KiB, beyond 8 MiB of patches in all, or at a path that git refuses. All patches joined are one patch for `git apply`.
 * `checkpoint.corrupt` when a manifest or a content that is needed is damaged.
 */
export async function diffCheckpoints(store: ProjectStore, beforeManifestSha256: string, afterManifestSha256: string): Promise<FileChange[]> {
  const left = { patchBytes: PATCH_BYTES_MAX, readBytes: READ_BYTES_MAX, effort: newEffort() }
  const isIgnored = await ignoredBy(store, beforeManifestSha256, PROJECT.within)
  const changes: FileChange[] = []
  for await (const { before, after } of store.difference(beforeManifestSha256, afterManifestSha256)) {
    const difference = differenceAt(before, after, PROJECT)
    const change = difference && filesOnly(difference)
    if (change === null) continue
    if (change.status === 'added' && isIgnored(change.path)) {
      changes.push({ ...change, ignored: true, patch: null, added_lines: 0, removed_lines: 0 })
      continue
    }
    const text = await describe(store, change, left)
    const fits = text !== null && Buffer.byteLength(text.patch) <= left.patchBytes
    if (fits) left.patchBytes -= Buffer.byteLength(text.patch)
    changes.push({ ...change, ignored: false, patch: fits ? text.patch : null, added_lines: text?.addedLines ?? 0, removed_lines: text?.removedLines ?? 0 })
  }
  return changes
}

interface Text {
  readonly patch: string
  readonly addedLines: number
  readonly removedLines: number
}

/** git knows no folders: a folder that replaces a file removes it. */
function filesOnly({ path, before, after }: EntryDifference): EntryDifference | null {
  const old = before?.type === 'directory' ? null : before
  const young = after?.type === 'directory' ? null : after
  if (old === null && young === null) return null
  return { path, status: old === null ? 'added' : young === null ? 'removed' : 'changed', before: old, after: young }
}

async function describe(
  store: ProjectStore,
  { path, before, after }: EntryDifference,
  left: { readBytes: number; readonly effort: Effort },
): Promise<Text | null> {
  if ([before, after].some((entry) => entry !== null && isRefusedByGit(path, entry.type))) return null
  if (before !== null && after !== null && before.type === after.type && before.sha256 === after.sha256 && before.link_target === after.link_target) {
    return { patch: modeOnly(path, before, after), addedLines: 0, removedLines: 0 }
  }
  const old = await contentOf(store, before, left)
  const young = await contentOf(store, after, left)
  if (old === null || young === null) return null
  if (before === null || after === null || before.type === after.type) return filePatch(path, before, after, old, young, left.effort)
  // git has no change of a file into a link: the one goes, the other comes.
  const none = Buffer.alloc(0)
  const removed = filePatch(path, before, null, old, none, left.effort)
  const added = filePatch(path, null, after, none, young, left.effort)
  return { patch: removed.patch + added.patch, addedLines: added.addedLines, removedLines: removed.removedLines }
}

/** Permissions that git does not know change nothing it could apply: no text. */
function modeOnly(path: string, before: ManifestEntry, after: ManifestEntry): string {
  if (gitMode(before) === gitMode(after)) return ''
  return `diff --git ${gitName('a/', path)} ${gitName('b/', path)}\nold mode ${gitMode(before)}\nnew mode ${gitMode(after)}\n`
}

function filePatch(path: string, before: ManifestEntry | null, after: ManifestEntry | null, old: Buffer, young: Buffer, effort: Effort): Text {
  const a = gitName('a/', path)
  const b = gitName('b/', path)
  const oldMode = before === null ? null : gitMode(before)
  const newMode = after === null ? null : gitMode(after)
  const { hunks, addedLines, removedLines } = unifiedText(old.toString('utf8'), young.toString('utf8'), effort)
  let patch = `diff --git ${a} ${b}\n`
  if (oldMode === null) patch += `new file mode ${newMode}\n`
  else if (newMode === null) patch += `deleted file mode ${oldMode}\n`
  else if (oldMode !== newMode) patch += `old mode ${oldMode}\nnew mode ${newMode}\n`
  // Whole blob ids, so that `git apply --3way` finds what the change was made from.
  patch += `index ${before === null ? NO_BLOB : blobId(old)}..${after === null ? NO_BLOB : blobId(young)}${oldMode === newMode ? ` ${newMode}` : ''}\n`
  if (hunks !== '') patch += gitFileLine('---', before === null ? '/dev/null' : a) + gitFileLine('+++', after === null ? '/dev/null' : b) + hunks
  return { patch, addedLines, removedLines }
}

/** The text of a file or a link, empty for what is not there; null when there is no text to show. */
async function contentOf(store: ProjectStore, entry: ManifestEntry | null, left: { readBytes: number }): Promise<Buffer | null> {
  if (entry === null) return Buffer.alloc(0)
  const bytes = entry.sha256 === null ? Buffer.from(decodePath(entry.link_target ?? '')) : await readText(store, entry, entry.sha256, left)
  return bytes !== null && isText(bytes) ? bytes : null
}

async function readText(store: ProjectStore, entry: ManifestEntry, sha256: string, left: { readBytes: number }): Promise<Buffer | null> {
  if (entry.size > FILE_BYTES_MAX || entry.size > left.readBytes) return null
  left.readBytes -= entry.size
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of (await store.open(sha256)) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > entry.size) throw corrupt(`The content ${sha256} is longer than its manifest says.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** UTF-8 without a NUL, which is git's own sign of a binary file. */
const isText = (bytes: Buffer): boolean => isUtf8(bytes) && !bytes.includes(0)
