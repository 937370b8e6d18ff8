/** Brings a machine's changes into a checkout, three-way and all or nothing. */
import { copyFile } from 'node:fs/promises'
import { AutovibeError, type CheckpointDiff } from '@autovibe/contract'
import { type Change, type ReadOptions, readChanges } from './changes.ts'
import { below, key, leaving, readOurs } from './checkout.ts'
import { tryGit } from './command.ts'
import { Contents, type ReadContent } from './contents.ts'
import { decide, type Ours } from './merge.ts'
import { hasCommit, quote, type Repository } from './repository.ts'
import { makeScratch } from './scratch.ts'
import { type Write, writeAll } from './write.ts'

export interface AppliedFile {
  readonly path: string
  /** `already`: the checkout has it so. `merged`: both had changed the file. `ignored`: new, and the checkout's .gitignore names it. `left out`: of an inner repository. */
  readonly result: 'added' | 'changed' | 'removed' | 'merged' | 'already' | 'ignored' | 'left out'
}

/** What was written. Throws `apply.conflict` with every path that stands in the way, having changed nothing. */
export async function applyToCheckout(repository: Repository, diff: CheckpointDiff, read: ReadContent, options: ReadOptions = {}): Promise<AppliedFile[]> {
  await requireBase(repository, diff)
  const { changes, applied } = await relevantChanges(repository, diff, options)
  await using scratch = await makeScratch(repository)
  const contents = new Contents(scratch.folder, read)
  const away = leaving(changes)
  const writes: Write[] = []
  const conflicts: { path: string; message: string }[] = []
  for (const change of changes) {
    const ours = await readOurs(repository.root, change.path, away)
    const outcome = await settle(repository, diff, change, ours, contents)
    if (outcome.kind === 'conflict') conflicts.push({ path: change.name, message: outcome.why })
    else {
      applied.push({ path: change.name, result: outcome.result })
      if (outcome.write) writes.push(outcome.write)
    }
  }
  if (conflicts.length > 0) throw conflictError(diff, conflicts)
  await writeAll(repository.root, writes)
  return applied
}

/** The changes without what git would not track: new files that the checkout ignores (packages that were installed, build results) and inner repositories. */
export async function relevantChanges(
  repository: Repository,
  diff: CheckpointDiff,
  options: ReadOptions,
): Promise<{ changes: Change[]; applied: AppliedFile[] }> {
  const { changes, leftOut } = readChanges(diff, options)
  const applied: AppliedFile[] = leftOut.map((path) => ({ path, result: 'left out' }))
  const ignored = await ignoredPaths(
    repository,
    changes.filter(({ before }) => before.kind === 'absent').map(({ path }) => path),
  )
  const relevant: Change[] = []
  for (const change of changes) {
    if (ignored.has(key(change.path))) applied.push({ path: change.name, result: 'ignored' })
    else relevant.push(change)
  }
  return { changes: relevant, applied }
}

async function ignoredPaths(repository: Repository, paths: readonly Buffer[]): Promise<ReadonlySet<string>> {
  if (paths.length === 0) return new Set()
  const input = Buffer.concat(paths.flatMap((path) => [path, Buffer.from([0])]))
  // Status 1 is "none"; 128 a path behind a link of the checkout, which the merge reports by itself.
  const { status, stdout } = await tryGit(['check-ignore', '-z', '--stdin'], { cwd: repository.root, input })
  return status === 0 ? new Set(stdout.toString('latin1').split('\0')) : new Set()
}

/** The commit beneath the machine's changes must be one of this repository: otherwise it is the wrong checkout. */
export async function requireBase(repository: Repository, diff: CheckpointDiff): Promise<string> {
  const base = diff.source_base_commit
  if (base === null || !/^[0-9a-f]{40,64}$/.test(base))
    throw new AutovibeError('apply.conflict', `The checkpoint ${diff.checkpoint_id} did not start from a git commit, so there is nothing to apply it to.`)
  if (!(await hasCommit(repository, base))) {
    throw new AutovibeError(
      'apply.conflict',
      `The repository ${repository.root} does not hold the commit ${base.slice(0, 12)} that the machine started from.`,
      { fix: 'Name the checkout that was imported: --project PATH' },
    )
  }
  return base
}

type Outcome = { readonly kind: 'conflict'; readonly why: string } | { readonly kind: 'ok'; readonly result: AppliedFile['result']; readonly write?: Write }

async function settle(repository: Repository, diff: CheckpointDiff, change: Change, ours: Ours, contents: Contents): Promise<Outcome> {
  const decision = decide(change.before, ours, change.after)
  if (decision.do === 'conflict') return { kind: 'conflict', why: decision.why }
  if (decision.do === 'nothing') return { kind: 'ok', result: 'already' }
  const write = { name: change.name, path: change.path, expected: ours }
  if (change.after.kind === 'absent') return { kind: 'ok', result: 'removed', write: { ...write, put: { kind: 'absent' } } }
  const result = change.before.kind === 'absent' ? 'added' : 'changed'
  if (change.after.kind === 'symlink') return { kind: 'ok', result, write: { ...write, put: change.after } }
  const { executable } = decision
  const theirs = await fetchAfter(diff, change, contents)
  if (decision.do === 'take') return { kind: 'ok', result, write: { ...write, put: { kind: 'file', from: theirs, executable } } }
  const merged = await mergeText(repository, diff, change, theirs, contents)
  if (merged === undefined) return { kind: 'conflict', why: 'both changed the same place of it' }
  return { kind: 'ok', result: 'merged', write: { ...write, put: { kind: 'file', from: merged, executable } } }
}

export function fetchAfter(diff: CheckpointDiff, change: Change, contents: Contents): Promise<string> {
  if (change.after.kind !== 'file' || change.afterPath === null) throw new AutovibeError('internal', `${change.name} has no content to fetch.`)
  return contents.fetch({ checkpointId: diff.checkpoint_id, path: change.afterPath, sha256: change.after.sha256, size: change.after.size })
}

/** Texts beyond this size are not merged but reported as a conflict. */
const MERGE_BYTES = 16 * 1024 * 1024

async function mergeText(repository: Repository, diff: CheckpointDiff, change: Change, theirs: string, contents: Contents): Promise<string | undefined> {
  const { before, after, beforePath } = change
  if (before.kind !== 'file' || after.kind !== 'file' || beforePath === null || Math.max(before.size, after.size) > MERGE_BYTES) return undefined
  const base = await contents.fetch({ checkpointId: diff.against_id, path: beforePath, sha256: before.sha256, size: before.size })
  const ours = contents.newFile()
  await copyFile(below(repository.root, change.path), ours)
  const output = contents.newFile()
  // The exit status is the number of conflicts, or 255 for what is not a text.
  const merged = await tryGit(['merge-file', '-p', '-q', ours, base, theirs], { cwd: repository.root, outputFile: output })
  return merged.status === 0 ? output : undefined
}

function conflictError(diff: CheckpointDiff, conflicts: { path: string; message: string }[]): AutovibeError {
  const shown = conflicts.slice(0, 20).map(({ path, message }) => `${JSON.stringify(path)} (${message})`)
  const more = conflicts.length > 20 ? `, and ${conflicts.length - 20} more` : ''
  return new AutovibeError('apply.conflict', `The changes do not fit the checkout: ${shown.join(', ')}${more}. Nothing was changed.`, {
    errors: conflicts.slice(0, 1000),
    fix: `Put them on a branch instead and merge it: autovibe apply ${quote(diff.checkpoint_id)} --branch NAME`,
  })
}
