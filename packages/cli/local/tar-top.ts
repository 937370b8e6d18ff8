/** What a tar has at its top: enough to tell one of a project from one of everything before either is taken for the other. */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { AutovibeError, readTar } from '@autovibe/contract'

/** The folders that a tar of `checkpoint export --all` has. */
const PROJECT = 'project'
const HOME = 'home'

/** `request.invalid` for a tar that looks like one of the other kind; what cannot be read at all is left to the Hub, which says so. */
export async function assertContents(file: string, contents: 'all' | 'project', without: string): Promise<void> {
  const tops = await topsOf(file, contents)
  if (tops === null || tops.size === 0) return
  if (contents === 'all' && !tops.has(PROJECT))
    throw new AutovibeError('request.invalid', 'This tar has no project/ at its top, so it is none of everything.', { fix: without })
  if (contents === 'project' && tops.size === 2 && tops.has(PROJECT) && tops.has(HOME))
    throw new AutovibeError('request.invalid', 'This tar has home/ and project/ at its top and nothing else: it is one of everything.', {
      fix: `${without} --all`,
    })
}

/** Those of its top names that decide; null for what is no tar. */
async function topsOf(file: string, contents: 'all' | 'project'): Promise<ReadonlySet<string> | null> {
  const tops = new Set<string>()
  try {
    for await (const { path } of readTar(await unpacked(file))) {
      const [top = ''] = Buffer.from(path)
        .toString()
        .replace(/^(?:\.\/+)+/, '')
        .split('/')
      if (top === '' || top === '.') continue
      tops.add(top)
      // The rest of it, which may be large, changes nothing.
      if (contents === 'all' ? top === PROJECT : top !== PROJECT && top !== HOME) break
    }
  } catch (thrown) {
    const code = thrown instanceof AutovibeError ? thrown.code : (thrown as NodeJS.ErrnoException).code
    if (code === 'archive.invalid' || code?.startsWith('Z') === true || code?.startsWith('ERR_ZSTD') === true) return null
    throw thrown
  }
  return tops
}

async function unpacked(file: string): Promise<Readable> {
  const handle = await open(file)
  const start = Buffer.alloc(4)
  try {
    await handle.read(start, 0, start.length, 0)
  } finally {
    await handle.close()
  }
  const packed = createReadStream(file)
  const unpack = start.readUInt16BE(0) === 0x1f8b ? createGunzip() : start.readUInt32LE(0) === 0xfd2fb528 ? createZstdDecompress() : null
  if (unpack === null) return packed
  packed.once('error', (error) => unpack.destroy(error))
  unpack.once('close', () => packed.destroy())
  return packed.pipe(unpack)
}
