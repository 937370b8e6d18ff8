/** Making a folder with those above it. */
import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/** The mode of those above, as people make them: they are not ours alone, and the database's user must get through. */
const ABOVE = 0o755

/** True when it was made just now. Not mkdir's own `recursive`, which never ends where a file system takes no folders, as below /proc. */
export const makeFolder = (path: string, mode: number): Promise<boolean> => attempt(path, mode, true)

async function attempt(path: string, mode: number, mayTryAgain: boolean): Promise<boolean> {
  try {
    await mkdir(path, { mode })
    return true
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return false
    const above = dirname(path)
    if (code !== 'ENOENT' || above === path || !mayTryAgain) throw thrown
    // Another command may be making the same ones, and have made this one since.
    if (!(await exists(above))) await makeFolder(above, ABOVE)
    return attempt(path, mode, false)
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
