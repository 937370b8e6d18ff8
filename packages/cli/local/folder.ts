/** Making a folder with those above it. */
import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/** The mode of those above, as people make them: they are not ours alone, and the database's user must get through. */
const ABOVE = 0o755

/** True when it was made just now. Not mkdir's own `recursive`, which never ends where a file system takes no folders, as below /proc. */
export async function makeFolder(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode })
    return true
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return false
    const above = dirname(path)
    if (code !== 'ENOENT' || above === path || (await exists(above))) throw thrown
    await makeFolder(above, ABOVE)
    // Another command may be making the same ones.
    return makeFolder(path, mode)
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
