/** The trees that are measured: the same files with the same contents on every machine, and rounds that each change another hundredth of them. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { numbersFrom, sourceText } from './source-text.ts'

export interface TreeShape {
  readonly name: string
  readonly files: number
  /** About; most files have a few KB. */
  readonly bytes: number
  /** Files of 3 MiB among them; each round changes another one, as long as there are any. */
  readonly largeFiles: number
}

const MIB = 1024 * 1024
const FOLDER_FILES = 14
const SUBFOLDERS = 8
const LARGE_BYTES = 3 * MIB
/** Sizes of the other files are spread evenly over the powers of two of this range, times what makes the sum come out. */
const SPREAD = 24
const CHANGED_ONE_IN = 100
/** From round to round; it has no common divisor with 100. */
const STEP = 37
/** Of so many changed files one is deleted, and another added beside it. */
const DELETED_ONE_IN = 100
const DELETED = 2
const IN_FLIGHT = 16

export async function writeTree(root: string, shape: TreeShape): Promise<void> {
  for (let folder = 0; folder < Math.ceil(shape.files / FOLDER_FILES); folder++) await mkdir(join(root, folderPath(folder)), { recursive: true })
  await eachOf(shape.files, (index) => writeFile(join(root, filePath(index)), sourceText(index, sizeOf(shape, index))))
}

/** Rewrites, deletes and adds one in a hundred files; the paths of all of them. Rounds 0 to 99 take other files each. */
export async function changeTree(root: string, { files }: TreeShape, round: number): Promise<readonly string[]> {
  const first = (round * STEP) % CHANGED_ONE_IN
  const paths: string[] = []
  await eachOf(Math.ceil((files - first) / CHANGED_ONE_IN), async (nth) => {
    const index = first + nth * CHANGED_ONE_IN
    const path = filePath(index)
    const fresh = sourceText(index + (round + 1) * files, 200 + (index % 1800))
    paths.push(path)
    const old = await readFile(join(root, path))
    if (nth % DELETED_ONE_IN !== DELETED) return await writeFile(join(root, path), edited(old, fresh))
    const added = path.replace('.ts', '-again.ts')
    paths.push(added)
    await rm(join(root, path))
    await writeFile(join(root, added), edited(old, fresh))
  })
  return paths.sort()
}

/** With other lines in the middle. */
function edited(old: Buffer, fresh: Buffer): Buffer {
  const cut = old.indexOf('\n', old.length >> 1) + 1
  return Buffer.concat([old.subarray(0, cut), fresh, old.subarray(cut)])
}

const folderPath = (folder: number): string => (folder === 0 ? 'folder-0' : `${folderPath(Math.floor((folder - 1) / SUBFOLDERS))}/folder-${folder}`)
const filePath = (index: number): string => `${folderPath(Math.floor(index / FOLDER_FILES))}/file-${index}.ts`

function sizeOf({ files, bytes, largeFiles }: TreeShape, index: number): number {
  const each = Math.floor(files / largeFiles / CHANGED_ONE_IN) * CHANGED_ONE_IN
  const nth = Math.floor(index / each)
  if (nth < largeFiles && index % each === (nth * STEP) % CHANGED_ONE_IN) return LARGE_BYTES
  const mean = (bytes - largeFiles * LARGE_BYTES) / (files - largeFiles)
  const share = numbersFrom(index)() / 2 ** 32
  return Math.round((mean * SPREAD ** share * Math.log(SPREAD)) / (SPREAD - 1))
}

async function eachOf(count: number, work: (index: number) => Promise<void>): Promise<void> {
  const indexes = Array.from({ length: count }, (_, index) => index).values()
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      for (const index of indexes) await work(index)
    }),
  )
}
