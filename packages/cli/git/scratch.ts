/** A bare repository in a temporary folder that reads the user's objects and keeps every new one to itself. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { git } from './command.ts'
import type { Repository } from './repository.ts'

export interface Scratch extends AsyncDisposable {
  /** For files that belong to nobody yet. */
  readonly folder: string
  readonly gitDir: string
  /** New objects go to the scratch, old ones are read from the user's repository. */
  readonly env: Readonly<Record<string, string>>
}

export async function makeScratch(repository: Repository): Promise<Scratch> {
  const folder = await mkdtemp(join(tmpdir(), 'autovibe-git-'))
  const remove = () => rm(folder, { recursive: true, force: true })
  try {
    const gitDir = join(folder, 'scratch.git')
    await mkdir(gitDir)
    await git(['init', '--quiet', '--bare', '--template=', `--object-format=${repository.objectFormat}`, gitDir], { cwd: folder })
    const env = {
      GIT_OBJECT_DIRECTORY: join(gitDir, 'objects'),
      // Quoted, because a colon separates the alternates.
      GIT_ALTERNATE_OBJECT_DIRECTORIES: `"${repository.objects.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`,
    }
    return { folder, gitDir, env, [Symbol.asyncDispose]: remove }
  } catch (thrown) {
    await remove()
    throw thrown
  }
}
