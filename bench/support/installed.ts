/** What is measured beside us, installed once into a folder of its own below the user's cache: no dependency of the checkout. */
import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import cacheDir from '../../scripts/cache-dir.cjs'
import { CHECKOUT } from './place.ts'

/** The folder with what `install` laid there; one that did not get to its end is laid anew. */
export async function installed(name: string, install: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cacheDir.findCacheDir(CHECKOUT, process.env), 'bench', name)
  const mark = join(folder, 'complete')
  if (existsSync(mark)) return folder
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await install(folder)
  await writeFile(mark, '')
  return folder
}
