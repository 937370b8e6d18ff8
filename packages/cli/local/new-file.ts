/** Writes a file whole or not at all: under another name beside it, synced, then renamed. */
import { randomBytes } from 'node:crypto'
import { link, lstat, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { AutovibeError } from '@autovibe/contract'

/** Answers the bytes written. A file that is there already is `conflict.state` unless it may be replaced. */
export async function writeNewFile(path: string, content: AsyncIterable<Uint8Array>, options: { readonly replace: boolean }): Promise<number> {
  if (!options.replace && (await isThere(path))) throw taken(path)
  // In the same folder, for a rename does not lead over to another disk.
  const partial = join(dirname(resolve(path)), `.${basename(path).slice(0, 100)}.${randomBytes(6).toString('hex')}.partial`)
  const file = await open(partial, 'wx', 0o600).catch((cause: NodeJS.ErrnoException) => {
    throw new AutovibeError('request.invalid', `${path} cannot be written (${cause.code ?? cause.message}).`, {
      cause,
      fix: 'Name a file in a folder that you may write to.',
    })
  })
  try {
    let bytes = 0
    try {
      for await (const chunk of content) {
        await file.writeFile(chunk)
        bytes += chunk.length
      }
      await file.chmod(0o666 & ~process.umask())
      await file.sync()
    } finally {
      await file.close()
    }
    await putInPlace(partial, path, options.replace)
    return bytes
  } catch (error) {
    await rm(partial, { force: true })
    throw diskFull(error, path)
  }
}

/** A link refuses a name that was taken meanwhile; where a disk has no links, there is only the look before. */
async function putInPlace(partial: string, path: string, replace: boolean): Promise<void> {
  if (!replace) {
    try {
      await link(partial, path)
      return await rm(partial)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EEXIST') throw taken(path)
      if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS') throw error
    }
  }
  await rename(partial, path)
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => null)) !== null
}

const taken = (path: string): AutovibeError =>
  new AutovibeError('conflict.name_taken', `${path} exists already.`, { fix: 'Choose another name, or replace it with --force.' })

function diskFull(error: unknown, path: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : null
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  return new AutovibeError('substrate.disk_full', `The disk of ${path} is full; nothing of it was kept.`, {
    cause: error,
    fix: 'Free some space, or choose another disk.',
  })
}
