/** A fingerprint of everything below a folder, its .git included: kinds, modes, times and contents, so that a touch shows as much as a change. */
import { createHash } from 'node:crypto'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'

/** One line per path, sorted; two lists are the same when nothing was touched in between. */
export async function fingerprint(root: string): Promise<string[]> {
  const paths = ['.', ...(await readdir(root, { recursive: true }))].sort()
  return Promise.all(paths.map((path) => line(root, path)))
}

async function line(root: string, path: string): Promise<string> {
  const full = join(root, path)
  const stats = await lstat(full)
  const content = stats.isFile()
    ? createHash('sha256')
        .update(await readFile(full))
        .digest('hex')
    : stats.isSymbolicLink()
      ? await readlink(full)
      : ''
  // git renews the time of an object that it would have written and finds already there; what an object holds is its name.
  const at = path.includes('.git/objects/') && stats.isFile() ? 'object' : stats.mtimeMs
  return `${path} ${stats.mode.toString(8)} ${at} ${content}`
}
