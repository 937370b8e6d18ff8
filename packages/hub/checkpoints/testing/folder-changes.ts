/** Gives a real folder as the changes of a tree, and a checkpoint back as a real folder, for the tests of the store. */

import { createReadStream } from 'node:fs'
import { lstat, readdir, readlink } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import type { ManifestEntry } from '@autovibe/contract'
import { encodePath } from '@autovibe/core/checkpoints/paths.ts'
import type { TreeChange } from '../../substrates/substrate.ts'

const SLASH = Buffer.from('/')

/** Every entry of the folder, parents before children. */
export async function* folderChanges(root: string, below: Buffer | null = null): AsyncGenerator<TreeChange, void> {
  const folder = below === null ? Buffer.from(root) : Buffer.concat([Buffer.from(root), SLASH, below])
  for (const name of await readdir(folder, { encoding: 'buffer' })) {
    const path = below === null ? name : Buffer.concat([below, SLASH, name])
    const full = Buffer.concat([Buffer.from(root), SLASH, path])
    const stats = await lstat(full)
    const type = stats.isDirectory() ? 'directory' : stats.isSymbolicLink() ? 'symlink' : 'file'
    const target = type === 'symlink' ? encodePath(await readlink(full, { encoding: 'buffer' })) : null
    const entry: Omit<ManifestEntry, 'sha256'> = {
      path: encodePath(path),
      type,
      mode: stats.mode & 0o7777,
      size: stats.size,
      mtime_ms: stats.mtimeMs,
      link_target: target,
    }
    yield { kind: 'put', entry, open: () => createReadStream(full), hold: () => ({ path: full, release: () => undefined }) }
    if (type === 'directory') yield* folderChanges(root, path)
  }
}

/** The folder as its entries and contents, without times and folder sizes, to compare two. */
export async function readFolder(root: string): Promise<Map<string, string>> {
  const seen = new Map<string, string>()
  for await (const change of folderChanges(root)) {
    if (change.kind !== 'put') continue
    const { path, type, mode, link_target } = change.entry
    const content = type === 'file' ? (await buffer(change.open())).toString('latin1') : ''
    // Linux gives every link 0777 and other systems other modes.
    seen.set(path, `${type} ${type === 'symlink' ? '' : mode.toString(8)} ${link_target ?? ''} ${content}`)
  }
  return seen
}

/** Changes made up for one test. */
export async function* changesOf(...changes: readonly TreeChange[]): AsyncGenerator<TreeChange, void> {
  yield* changes
}
