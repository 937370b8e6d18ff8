/** Makes a branch with one commit of exactly a checkpoint's project files; the work tree, the index and the hooks of the repository have no part in it. */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { AutovibeError, type Checkpoint } from '@autovibe/contract'
import type { Archive } from '@autovibe/sdk'
import { git, gitText, tryGit } from '../command.ts'
import { hasCommit, quote, type Repository } from '../repository.ts'
import { makeScratch } from '../scratch.ts'
import { type Counted, commitStream, refused } from './commit-stream.ts'

export interface ExportedBranch {
  readonly branch: string
  readonly commit: string
  /** Null: the commit that the project was imported from is not in this repository, so this one stands alone. */
  readonly parent: string | null
  readonly files: number
  readonly bytes: number
}

export interface ExportBranchOptions {
  readonly branch: string
  readonly force: boolean
  readonly signal: AbortSignal
}

const SCRATCH_REF = 'refs/heads/export'

/** `conflict.name_taken` for a branch that is there, `export.refused` for a tree that git would refuse; in every case of failure the repository refers to nothing new. */
export async function exportBranch(
  repository: Repository,
  checkpoint: Checkpoint,
  openArchive: () => Promise<Archive>,
  { branch, force, signal }: ExportBranchOptions,
): Promise<ExportedBranch> {
  const cwd = repository.root
  const { ref, before } = await place(repository, branch, force)
  const archive = await openArchive()
  const parent = await parentOf(repository, archive)
  const submodules = parent === null ? new Map<string, string>() : await submodulesOf(repository, parent)
  await using scratch = await makeScratch(repository)
  const inScratch = { cwd: scratch.gitDir, env: { ...scratch.env, GIT_DIR: scratch.gitDir }, signal }
  const counted: Counted = { files: 0, bytes: 0 }
  const time = Math.floor(Date.parse(checkpoint.created_at) / 1000)
  const input = commitStream(archive.tar, { ref: SCRATCH_REF, parent, message: messageOf(checkpoint), time, submodules }, counted)
  await git(['-c', 'core.ignoreCase=false', 'fast-import', '--quiet', '--done', '--date-format=raw'], { ...inScratch, input })
  const commit = await gitText(['rev-parse', '--verify', SCRATCH_REF], inScratch)
  const pack = join(scratch.folder, 'export.pack')
  await git(['pack-objects', '--revs', '--stdout', '-q'], { ...inScratch, input: `${commit}\n${parent === null ? '' : `^${parent}\n`}`, outputFile: pack })
  // Looked at by git itself once more, as it looks at what strangers push, and before any of it is in the repository.
  const looked = await tryGit(['index-pack', '--strict', '--stdin'], { ...inScratch, input: createReadStream(pack) })
  if (looked.status !== 0) throw refusedByGit(looked.stderr)
  await git(['index-pack', '--stdin'], { cwd, input: createReadStream(pack), signal })
  const updated = await tryGit(
    ['update-ref', '--create-reflog', '-m', `autovibe checkpoint export ${checkpoint.id}`, ref, commit, before ?? '0'.repeat(commit.length)],
    { cwd },
  )
  if (updated.status !== 0)
    throw new AutovibeError('conflict.name_taken', `The branch ${branch} cannot be made: ${updated.stderr.trim().slice(0, 300)}`, {
      fix: 'Choose another: --branch NAME',
    })
  return { branch, commit, parent, ...counted }
}

/** The ref, and what it names now; null when it is free. */
async function place(repository: Repository, branch: string, force: boolean): Promise<{ ref: string; before: string | null }> {
  const cwd = repository.root
  const ref = `refs/heads/${branch}`
  if (branch.startsWith('-') || branch === 'HEAD' || (await tryGit(['check-ref-format', ref], { cwd })).status !== 0)
    throw new AutovibeError('request.invalid', `${JSON.stringify(branch)} is not a possible name of a branch.`, {
      fix: 'Use letters, digits and dashes: --branch agent/fix-date-test',
    })
  const found = await tryGit(['rev-parse', '--verify', '--quiet', ref], { cwd })
  if (found.status !== 0) return { ref, before: null }
  if (!force)
    throw new AutovibeError('conflict.name_taken', `The branch ${branch} exists already.`, { fix: 'Choose another (--branch NAME), or move it with --force.' })
  const worktrees = (await git(['worktree', 'list', '--porcelain', '-z'], { cwd })).toString().split('\0')
  if (worktrees.includes(`branch ${ref}`))
    throw new AutovibeError('conflict.state', `The branch ${branch} is checked out, and would move away from under its work tree.`, {
      fix: `Choose another, or leave it first: git -C ${quote(cwd)} switch --detach`,
    })
  return { ref, before: found.stdout.toString().trim() }
}

async function parentOf(repository: Repository, { sourceCommit, sourceBaseCommit }: Archive): Promise<string | null> {
  // What was imported with uncommitted changes, or of a cut-off history, is a commit of the import alone; beneath it is the user's.
  for (const commit of [sourceCommit, sourceBaseCommit])
    if (commit !== null && /^[0-9a-f]{40,64}$/.test(commit) && (await hasCommit(repository, commit))) return commit
  return null
}

async function submodulesOf({ root }: Repository, commit: string): Promise<Map<string, string>> {
  const listed = (await git(['ls-tree', '-r', '-z', '--full-tree', commit], { cwd: root })).toString('latin1').split('\0')
  return new Map(
    listed.flatMap((line): [string, string][] => {
      const found = /^160000 commit ([0-9a-f]+)\t(.*)$/s.exec(line)
      return found ? [[found[2] ?? '', found[1] ?? '']] : []
    }),
  )
}

function messageOf({ id, label, trigger, machine_name, run_id }: Checkpoint): string {
  const what = label === null ? `Checkpoint of ${machine_name} (${trigger})` : label.replace(/[\p{Cc}\s]+/gu, ' ').trim()
  const trailers = [`Autovibe-Checkpoint: ${id}`, `Autovibe-Machine: ${machine_name}`, ...(run_id === null ? [] : [`Autovibe-Run: ${run_id}`])]
  return `${what}\n\n${trailers.join('\n')}\n`
}

/** git names the object and the check; of .gitmodules, which is what they are mostly about, the file is known. */
function refusedByGit(stderr: string): AutovibeError {
  const words = stderr.trim().split('\n').slice(0, 4).join(' ').slice(0, 500)
  return refused(/gitmodules/i.test(words) ? '.gitmodules' : 'The tree', `git refuses it (${words})`)
}
