/** By what a Hub is known to others that share something with it: 32 hex digits in its data directory, made once. */
import { readFile } from 'node:fs/promises'
import { AutovibeError } from '@autovibe/contract'
import { writeAtomically } from './prepare.ts'
import type { Runtime } from './runtime.ts'

const ID_BYTES = 16

/** For whoever holds the lock of the data directory. `hub.data_version` for a file that holds something else: with a new id, what the Hub left in a shared store under the old one would stay there. */
export async function readHubId(path: string, { randomBytes }: Pick<Runtime, 'randomBytes'>): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (text === null) {
    const id = Buffer.from(randomBytes(ID_BYTES)).toString('hex')
    await writeAtomically(path, `${id}\n`)
    return id
  }
  const id = text.trim()
  if (/^[0-9a-f]{32}$/.test(id)) return id
  throw new AutovibeError('hub.data_version', `${path} does not hold the id of a Hub.`, { fix: `Restore it from a backup, or take a new one: rm ${path}` })
}
