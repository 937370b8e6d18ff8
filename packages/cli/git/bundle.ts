/** Makes the git bundle that a project is imported from, without writing anything into the user's repository. */
import { copyFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AutovibeError, SOURCE_REF } from '@autovibe/contract'
import { git, gitText } from './command.ts'
import type { Repository } from './repository.ts'
import type { Scratch } from './scratch.ts'

export interface SourceCommit {
  readonly commit: string
  readonly baseCommit: string
  readonly branch: string | null
  readonly dirty: boolean
}

/**
 * The commit to import: HEAD itself; with `includeDirty` and something to include, a commit on top of it. It is made with a fixed author and date, so that the same
 * files give the same commit. A shallow repository gives a commit without history, because a bundle cannot name parents that are not there.
 */
export async function sourceCommit(repository: Repository, scratch: Scratch, includeDirty: boolean): Promise<SourceCommit> {
  const { head, root, branch } = repository
  const headTree = await gitText(['rev-parse', `${head}^{tree}`], { cwd: root })
  const tree = includeDirty ? await dirtyTree(repository, scratch) : headTree
  const dirty = tree !== headTree
  if (!dirty && !repository.shallow) return { commit: head, baseCommit: head, branch, dirty }
  const parents = repository.shallow ? [] : ['-p', head]
  const message = dirty ? `Uncommitted changes on top of ${head}` : `The files of ${head}`
  const date = await gitText(['show', '--no-patch', '--format=%ct +0000', head], { cwd: root })
  const commit = await gitText(['commit-tree', ...parents, '-m', message, tree], { cwd: root, env: { ...scratch.env, ...identity(date) } })
  return { commit, baseCommit: head, branch, dirty }
}

/** The bundle file with the one ref that the Hub expects. */
export async function writeBundle(scratch: Scratch, source: SourceCommit, signal?: AbortSignal): Promise<{ path: string; bytes: number }> {
  const path = join(scratch.folder, 'source.bundle')
  const options = { cwd: scratch.gitDir, env: { ...scratch.env, GIT_DIR: scratch.gitDir }, signal }
  await git(['update-ref', SOURCE_REF, source.commit], options)
  await git(['bundle', 'create', '--quiet', path, SOURCE_REF], options)
  return { path, bytes: (await stat(path)).size }
}

async function dirtyTree(repository: Repository, scratch: Scratch): Promise<string> {
  const index = join(scratch.folder, 'index')
  const options = { cwd: repository.root, env: { ...scratch.env, GIT_INDEX_FILE: index } }
  try {
    // A copy keeps what git knows about unchanged files, so that they need not be read again.
    await copyFile(repository.index, index)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new AutovibeError('project.source_invalid', `The index of ${repository.root} cannot be read.`, { cause: thrown })
    await git(['read-tree', 'HEAD'], options)
  }
  await git(['-c', 'advice.addEmbeddedRepo=false', 'add', '--all', '--', ':/'], options)
  return gitText(['write-tree'], options)
}

const identity = (date: string): Record<string, string> => ({
  GIT_AUTHOR_NAME: 'autovibe',
  GIT_AUTHOR_EMAIL: 'autovibe@localhost',
  GIT_AUTHOR_DATE: date,
  GIT_COMMITTER_NAME: 'autovibe',
  GIT_COMMITTER_EMAIL: 'autovibe@localhost',
  GIT_COMMITTER_DATE: date,
})
