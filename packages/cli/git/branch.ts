/** Makes a branch with one commit of a machine's changes on the commit they started from; the work tree and the index stay as they are. */
import { createReadStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AutovibeError, type CheckpointDiff } from '@autovibe/contract'
import { type AppliedFile, fetchAfter, relevantChanges, requireBase } from './apply.ts'
import type { Change, ReadOptions } from './changes.ts'
import { git, gitText, tryGit } from './command.ts'
import { Contents, type ReadContent } from './contents.ts'
import { quote, type Repository } from './repository.ts'
import { makeScratch, type Scratch } from './scratch.ts'

export interface BranchOptions extends ReadOptions {
  readonly branch: string
  readonly message: string
}

export interface AppliedBranch {
  readonly commit: string
  readonly base: string
  readonly files: AppliedFile[]
}

/** Throws `conflict.name_taken` when the branch exists, having changed nothing. A file with uncommitted changes at import time carries them into the commit. */
export async function applyToBranch(repository: Repository, diff: CheckpointDiff, read: ReadContent, options: BranchOptions): Promise<AppliedBranch> {
  const ref = await freeBranch(repository, options.branch)
  const base = await requireBase(repository, diff)
  const { changes, applied } = await relevantChanges(repository, diff, options)
  if (changes.length === 0) return { commit: base, base, files: applied }
  await using scratch = await makeScratch(repository)
  const env = { ...scratch.env, GIT_DIR: scratch.gitDir, GIT_INDEX_FILE: join(scratch.folder, 'index') }
  const inScratch = { cwd: scratch.gitDir, env }
  await git(['read-tree', base], inScratch)
  const blobs = await writeBlobs(diff, changes, scratch, new Contents(scratch.folder, read), inScratch)
  // Removals first, so that a folder may take the place of a file and the other way round.
  const zero = '0'.repeat(base.length)
  const removals = changes.filter((change) => change.before.kind !== 'absent').map((change) => line(`0 ${zero}`, change.path))
  const additions = changes.flatMap((change, index) => (change.after.kind === 'absent' ? [] : [line(`${modeOf(change)} ${blobs[index]}`, change.path)]))
  await git(['update-index', '-z', '--index-info'], { ...inScratch, input: Buffer.concat([...removals, ...additions]) })
  const tree = await gitText(['write-tree'], inScratch)
  const commit = await gitText(['commit-tree', '-p', base, '-F', '-', tree], {
    cwd: repository.root,
    env: { ...scratch.env, ...(await identity(repository)) },
    input: options.message,
  })
  await bringHome(repository, scratch, inScratch, base, commit)
  await git(['update-ref', '--create-reflog', '-m', 'autovibe apply', ref, commit, zero], { cwd: repository.root })
  const results = { absent: 'removed', file: 'changed', symlink: 'changed' } as const
  const files = changes.map(({ name, before, after }) => ({ path: name, result: before.kind === 'absent' ? 'added' : results[after.kind] }) as const)
  return { commit, base, files: [...files, ...applied] }
}

async function freeBranch(repository: Repository, branch: string): Promise<string> {
  const ref = `refs/heads/${branch}`
  const valid = await tryGit(['check-ref-format', ref], { cwd: repository.root })
  if (valid.status !== 0 || branch.startsWith('-') || branch === 'HEAD') {
    throw new AutovibeError('request.invalid', `${JSON.stringify(branch)} is not a possible name of a branch.`, {
      fix: 'Use letters, digits and dashes: --branch autovibe/fix-date-test',
    })
  }
  if ((await tryGit(['show-ref', '--verify', '--quiet', ref], { cwd: repository.root })).status === 0) {
    throw new AutovibeError('conflict.name_taken', `The branch ${branch} exists already.`, {
      fix: `Take another name, or remove it: git -C ${quote(repository.root)} branch -D ${quote(branch)}`,
    })
  }
  return ref
}

/** Blob ids by index of the change; empty where nothing is added. */
async function writeBlobs(
  diff: CheckpointDiff,
  changes: readonly Change[],
  scratch: Scratch,
  contents: Contents,
  inScratch: { cwd: string; env: Record<string, string> },
): Promise<string[]> {
  const files: (string | undefined)[] = []
  for (const change of changes) {
    if (change.after.kind === 'file') files.push(await fetchAfter(diff, change, contents))
    else if (change.after.kind === 'symlink') {
      const file = contents.newFile()
      await writeFile(file, change.after.target)
      files.push(file)
    } else files.push(undefined)
  }
  const wanted = files.filter((file) => file !== undefined)
  if (wanted.length === 0) return []
  const ids = (
    await gitText(['hash-object', '-w', '--no-filters', '--stdin-paths'], { ...inScratch, cwd: scratch.folder, input: `${wanted.join('\n')}\n` })
  ).split('\n')
  let next = 0
  return files.map((file) => (file === undefined ? '' : (ids[next++] ?? '')))
}

/** Copies the new objects into the user's repository, where they belong to nothing until the branch names them. By way of a file: they may be larger than the memory. */
async function bringHome(
  repository: Repository,
  scratch: Scratch,
  inScratch: { cwd: string; env: Record<string, string> },
  base: string,
  commit: string,
): Promise<void> {
  const pack = join(scratch.folder, 'branch.pack')
  await git(['pack-objects', '--revs', '--stdout', '-q'], { ...inScratch, input: `${commit}\n^${base}\n`, outputFile: pack })
  await git(['unpack-objects', '-q'], { cwd: repository.root, input: createReadStream(pack) })
}

/** The user's own name where git knows one: it is the user who applies. */
async function identity(repository: Repository): Promise<Record<string, string>> {
  const known = await tryGit(['var', 'GIT_COMMITTER_IDENT'], { cwd: repository.root })
  const configured = await tryGit(['config', 'user.email'], { cwd: repository.root })
  if (known.status === 0 && configured.status === 0) return {}
  return { GIT_AUTHOR_NAME: 'autovibe', GIT_AUTHOR_EMAIL: 'autovibe@localhost', GIT_COMMITTER_NAME: 'autovibe', GIT_COMMITTER_EMAIL: 'autovibe@localhost' }
}

function modeOf(change: Change): string {
  if (change.after.kind === 'symlink') return '120000'
  return change.after.kind === 'file' && change.after.executable ? '100755' : '100644'
}

const line = (start: string, path: Buffer): Buffer => Buffer.concat([Buffer.from(`${start}\t`), path, Buffer.from('\0')])
