/** Takes the files of a checkpoint out of the Hub: as a tar, or as a branch of a git repository. */
import { resolve } from 'node:path'
import { AutovibeError, type Checkpoint } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'
import type { CheckpointExportOptions } from '../commands/checkpoint-archives.ts'
import type { Action } from '../commands/define.ts'
import type { Context } from '../context.ts'
import { exportBranch as exportBranchOf } from '../git/export/export-branch.ts'
import { openRepository, quote } from '../git/repository.ts'
import { writeNewFile } from '../local/new-file.ts'
import { whole } from '../local/whole.ts'
import { plural, bytes as sizeOf } from '../render/text.ts'
import { wholeId } from '../short-ids.ts'
import { checkpointRef } from './checkpoint.ts'

export const checkpointExport: Action<CheckpointExportOptions> = async (context, [ref = ''], options) => {
  const wanted = checkpointRef(ref)
  checkOptions(context, options)
  const client = await context.connect()
  const { signal } = context
  const checkpoint = await client.checkpoints.get(await wholeId(client, wanted, { signal }), { signal })
  return options.tar === undefined ? exportBranch(context, client, checkpoint, options) : exportTar(context, client, checkpoint, options.tar, options)
}

/** What belongs to one of the two ways is refused with the other, rather than passed over. */
function checkOptions({ out }: Context, { tar, branch, all, repo, ignored, force }: CheckpointExportOptions): void {
  const refuse = (why: string, fix: string): never => {
    throw new AutovibeError('request.invalid', why, { fix })
  }
  if ((tar === undefined) === (branch === undefined)) refuse('Say where to: --tar FILE or --branch [NAME].', 'autovibe checkpoint export CHECKPOINT --tar FILE')
  if (tar !== undefined && (repo !== undefined || ignored))
    refuse('--repo and --ignored belong to --branch; a tar has the ignored files.', 'autovibe checkpoint export CHECKPOINT --tar FILE')
  if (branch !== undefined && all) refuse('--all belongs to --tar: a branch holds the project alone.', 'autovibe checkpoint export CHECKPOINT --branch')
  if (tar !== '-') return
  if (force) refuse('Standard output replaces no file: leave out --force.', 'autovibe checkpoint export CHECKPOINT --tar - | tar -x')
  if (out.json) refuse('With --tar - standard output is the tar, and can be no JSON besides.', 'Name a file instead of -.')
  if (process.stdout.isTTY === true) refuse('A tar is nothing for a terminal.', 'Send it on: autovibe checkpoint export CHECKPOINT --tar - | tar -t')
}

async function exportTar({ out, signal, cwd }: Context, client: Autovibe, { id }: Checkpoint, to: string, options: CheckpointExportOptions): Promise<number> {
  out.live(`reading ${id}`)
  const { tar } = await client.checkpoints.archive(id, { contents: options.all ? 'all' : 'project' }, { signal })
  const content = whole(tar, signal)
  if (to === '-') {
    for await (const chunk of content) if (!process.stdout.write(chunk)) await new Promise<void>((done) => process.stdout.once('drain', done))
    out.endLive()
    return 0
  }
  const path = resolve(cwd, to)
  const bytes = await writeNewFile(path, content, { replace: options.force ?? false })
  out.endLive()
  out.answer({ checkpoint_id: id, file: path, bytes, contents: options.all ? 'all' : 'project' }, [
    `${out.paint.green('✓')} ${path}: ${sizeOf(bytes)} of ${id}.`,
  ])
  return 0
}

async function exportBranch({ out, signal, cwd }: Context, client: Autovibe, checkpoint: Checkpoint, options: CheckpointExportOptions): Promise<number> {
  const { id, machine_name } = checkpoint
  const repository = await openRepository(resolve(cwd, options.repo ?? '.'))
  out.live(`reading ${id}`)
  const openArchive = async () => {
    const archive = await client.checkpoints.archive(id, { contents: 'project', ignored: options.ignored ?? false, inner_git: true }, { signal })
    return { ...archive, tar: whole(archive.tar, signal) }
  }
  const branch = typeof options.branch === 'string' ? options.branch : `autovibe/${machine_name}/${id}`
  const exported = await exportBranchOf(repository, checkpoint, openArchive, { branch, force: options.force ?? false, signal })
  out.endLive()
  const { commit, parent, files } = exported
  out.answer({ checkpoint_id: id, repository: repository.root, ...exported }, [
    `${out.paint.green('✓')} The branch ${branch} is at ${commit.slice(0, 12)}: ${plural(files, 'file')} of ${id}; your work tree is as it was.`,
  ])
  if (parent === null) out.note('It has no parent: this repository does not hold the commit that the project was imported from.')
  else out.note(`See what is new: git -C ${quote(repository.root)} diff ${parent.slice(0, 12)} ${branch}`)
  return 0
}
