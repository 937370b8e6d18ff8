/** Looks at the user's checkout without touching it. */
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { AutovibeError } from '@autovibe/contract'
import { git, gitFailure, gitText, tryGit } from './command.ts'

export interface Repository {
  /** The top folder of the work tree. */
  readonly root: string
  readonly objects: string
  readonly index: string
  readonly objectFormat: 'sha1' | 'sha256'
  readonly head: string
  readonly branch: string | null
  /** History was cut off when it was cloned. */
  readonly shallow: boolean
}

/** The checkout that holds `path`; `project.source_invalid` when there is none, or nothing was committed yet. */
export async function openRepository(path: string): Promise<Repository> {
  const folder = await stat(path).catch(() => undefined)
  if (!folder) throw new AutovibeError('project.source_invalid', `There is no folder ${path}.`, { fix: 'Name an existing git checkout: --project PATH' })
  if (!folder.isDirectory())
    throw new AutovibeError('project.source_invalid', `${path} is not a folder.`, { fix: 'Name the folder of a git checkout: --project PATH' })

  const inside = ['rev-parse', '--is-inside-work-tree', '--is-bare-repository']
  const probe = await tryGit(inside, { cwd: path })
  if (probe.status !== 0) {
    if (!/not a git repository/.test(probe.stderr)) throw gitFailure(inside, probe.stderr)
    throw new AutovibeError('project.source_invalid', `${path} is not a git repository.`, {
      fix: `Make it one: git -C ${quote(path)} init && git -C ${quote(path)} add -A && git -C ${quote(path)} commit -m "First commit"`,
    })
  }
  if (!probe.stdout.toString().startsWith('true'))
    throw new AutovibeError('project.source_invalid', `${path} has no work tree.`, { fix: 'Name a checkout, not a bare repository or its .git folder.' })

  const places = ['rev-parse', '--show-toplevel', '--git-path', 'objects', '--git-path', 'index', '--is-shallow-repository', '--show-object-format']
  const [root = path, objects = '', index = '', shallow, objectFormat] = (await gitText(places, { cwd: path })).split('\n')
  const head = await tryGit(['rev-parse', '--verify', '--quiet', 'HEAD^{commit}'], { cwd: root })
  if (head.status !== 0) {
    throw new AutovibeError('project.source_invalid', `The repository ${root} has no commits yet, so there is nothing to start from.`, {
      fix: `Commit first: git -C ${quote(root)} add -A && git -C ${quote(root)} commit -m "First commit"`,
    })
  }
  const branch = await tryGit(['symbolic-ref', '--quiet', '--short', 'HEAD'], { cwd: root })
  return {
    root,
    // --git-path answers relative to the folder it was asked in.
    objects: resolve(path, objects),
    index: resolve(path, index),
    objectFormat: objectFormat === 'sha256' ? 'sha256' : 'sha1',
    head: head.stdout.toString().trim(),
    branch: branch.status === 0 ? branch.stdout.toString().trim() : null,
    shallow: shallow === 'true',
  }
}

export interface Leftovers {
  /** Tracked files with uncommitted changes, and untracked ones. */
  readonly uncommitted: readonly string[]
  readonly submodules: readonly string[]
  readonly lfs: readonly string[]
}

/** What HEAD alone does not bring along. */
export async function findLeftovers(repository: Repository): Promise<Leftovers> {
  const cwd = repository.root
  const status = await git(['status', '--porcelain', '-z', '--no-renames', '--untracked-files=normal', '--ignore-submodules=none'], { cwd })
  const tree = await git(['ls-tree', '-r', '-z', 'HEAD'], { cwd })
  const lfs = await tryGit(['ls-files', '-z', '--', ':(top,attr:filter=lfs)'], { cwd })
  return {
    uncommitted: entries(status).map((line) => line.slice(3)),
    submodules: entries(tree)
      .filter((line) => line.startsWith('160000 '))
      .map((line) => line.slice(line.indexOf('\t') + 1)),
    lfs: lfs.status === 0 ? entries(lfs.stdout) : [],
  }
}

export async function hasCommit(repository: Repository, commit: string): Promise<boolean> {
  return (await tryGit(['cat-file', '-e', `${commit}^{commit}`], { cwd: repository.root })).status === 0
}

const entries = (bytes: Buffer): string[] =>
  bytes
    .toString()
    .split('\0')
    .filter((line) => line !== '')

export const quote = (path: string): string => (/^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`)
