/** Reads the user's checkout as it stands, never through a link. */
import { createHash } from 'node:crypto'
import { createReadStream, type Stats } from 'node:fs'
import { lstat, readlink } from 'node:fs/promises'
import { AutovibeError } from '@autovibe/contract'
import type { Change } from './changes.ts'
import type { Ours } from './merge.ts'

/** The bytes of `root/path`; Buffers, because a path need not be UTF-8. */
export const below = (root: string, path: Buffer): Buffer => Buffer.concat([Buffer.from(`${root}/`), path])

/** Paths that the change set removes or replaces by something else, as latin1 keys. */
export const leaving = (changes: readonly Change[]): ReadonlySet<string> =>
  new Set(changes.filter((change) => change.before.kind !== 'absent').map((change) => key(change.path)))

export const key = (path: Buffer): string => path.toString('latin1')

/** What stands at a path of the checkout now; below something that the change set takes away, nothing. */
export async function readOurs(root: string, path: Buffer, away: ReadonlySet<string>): Promise<Ours> {
  const parts = key(path).split('/')
  for (let length = 1; length < parts.length; length++) {
    const parent = parts.slice(0, length).join('/')
    const stats = await look(below(root, Buffer.from(parent, 'latin1')))
    if (!stats) return { kind: 'absent' }
    if (stats.isDirectory()) continue
    if (away.has(parent)) return { kind: 'absent' }
    return {
      kind: 'other',
      what: `its folder ${JSON.stringify(Buffer.from(parent, 'latin1').toString())} is ${stats.isSymbolicLink() ? 'a link' : 'not a folder'} in the checkout`,
    }
  }
  const full = below(root, path)
  const stats = await look(full)
  if (!stats) return { kind: 'absent' }
  if (stats.isSymbolicLink()) return { kind: 'symlink', target: await readlink(full, { encoding: 'buffer' }) }
  if (stats.isDirectory()) return { kind: 'directory' }
  if (!stats.isFile()) return { kind: 'other', what: 'something that is neither file nor link is in its place' }
  return { kind: 'file', sha256: await hashFile(full), size: stats.size, executable: (stats.mode & 0o100) !== 0 }
}

export async function look(path: Buffer): Promise<Stats | undefined> {
  try {
    return await lstat(path)
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new AutovibeError('apply.conflict', `${path.toString()} cannot be read (${code}). Nothing was changed.`, { cause: thrown })
  }
}

async function hashFile(path: Buffer): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
