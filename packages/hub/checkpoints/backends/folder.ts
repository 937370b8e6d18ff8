/** A store in a folder of this computer: one file for each object, which gets its name only when it is whole and on the disk. */
import { randomBytes } from 'node:crypto'
import { type FileHandle, link, mkdir, open, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf, storeError } from '../store-errors.ts'
import type { Backend, Bytes, Listed, PutOptions, Range } from './backend.ts'

/** Unfinished files lie here; only the one who made them knows their names. */
const TMP = 'tmp'

/** Opens the folder, or makes it. What a process that ended in the middle left unfinished is removed only when `isOwn`: nobody else writes here. */
export async function openFolder(root: string, { isOwn }: { readonly isOwn: boolean }): Promise<Backend> {
  const known = new Set<string>()
  const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      throw storeError(error, root)
    }
  }

  /** Makes the folder of a name with all above it, each durable before anything in it counts. */
  async function makeFolder(folder: string): Promise<void> {
    if (known.has(folder)) return
    if (folder.length > root.length) await makeFolder(dirname(folder))
    const made = await mkdir(folder, { recursive: true, mode: 0o700 })
    if (made !== undefined) await syncFolder(dirname(made))
    known.add(folder)
  }

  async function write(name: string, bytes: Bytes, { ifAbsent = false, fleeting = false }: PutOptions): Promise<boolean> {
    const path = join(root, name)
    const temporary = join(root, TMP, randomBytes(12).toString('hex'))
    await makeFolder(dirname(path))
    try {
      await writeWhole(temporary, bytes, !fleeting)
      if (ifAbsent) {
        // link(2) refuses a name that is taken; rename(2) would replace it.
        const isNew = await link(temporary, path).then(
          () => true,
          (error: unknown) => {
            if (errnoOf(error) === 'EEXIST') return false
            throw error
          },
        )
        await unlink(temporary)
        if (!isNew) return false
      } else await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
    if (!fleeting) await syncFolder(dirname(path))
    return true
  }

  await guarded(async () => {
    await makeFolder(root)
    await makeFolder(join(root, TMP))
    if (isOwn) for (const name of await readdir(join(root, TMP))) await rm(join(root, TMP, name), { force: true })
  })
  return {
    place: root,
    put: (name, bytes, options = {}) => guarded(() => write(name, bytes, options)),
    get: (name, range) => guarded(() => orNull(() => (range === undefined ? readFile(join(root, name)) : readRange(join(root, name), range)))),
    async *list(folder) {
      yield* filesBelow(root, folder, guarded)
    },
    delete: (name) => guarded(() => rm(join(root, name), { force: true })),
  }
}

async function* filesBelow(root: string, folder: string, guarded: <T>(work: () => Promise<T>) => Promise<T>): AsyncGenerator<Listed, void> {
  const entries = (await guarded(() => orNull(() => readdir(join(root, folder), { withFileTypes: true }), 'ENOTDIR'))) ?? []
  for (const entry of entries) {
    const name = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (name === TMP) continue
    if (entry.isDirectory()) yield* filesBelow(root, name, guarded)
    else {
      const bytes = await guarded(() => orNull(() => sizeOf(join(root, name))))
      // It was deleted meanwhile.
      if (bytes !== null) yield { name, bytes }
    }
  }
}

async function writeWhole(path: string, bytes: Bytes, durable: boolean): Promise<void> {
  await withFile(path, 'wx', async (file) => {
    for (const part of bytes instanceof Uint8Array ? [bytes] : bytes) await file.writeFile(part)
    if (durable) await file.datasync()
  })
}

const readRange = (path: string, { offset, length }: Range): Promise<Buffer> =>
  withFile(path, 'r', async (file) => {
    const from = offset < 0 ? Math.max(0, (await file.stat()).size + offset) : offset
    const bytes = Buffer.allocUnsafe(length)
    let filled = 0
    for (let read = 1; read > 0 && filled < length; filled += read) read = (await file.read(bytes, filled, length - filled, from + filled)).bytesRead
    return bytes.subarray(0, filled)
  })

const sizeOf = async (path: string): Promise<number> => (await stat(path)).size

const syncFolder = (path: string): Promise<void> => withFile(path, 'r', (file) => file.sync())

async function withFile<T>(path: string, flags: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags, 0o600)
  try {
    return await work(file)
  } finally {
    await file.close()
  }
}

async function orNull<T>(work: () => Promise<T>, alsoCode?: string): Promise<T | null> {
  try {
    return await work()
  } catch (error) {
    const code = errnoOf(error)
    if (code !== null && (code === 'ENOENT' || code === alsoCode)) return null
    throw error
  }
}
