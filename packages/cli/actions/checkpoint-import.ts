/** Brings files into the Hub as a verified checkpoint: from a tar, or from a commit of a git repository. */
import { openAsBlob } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { AutovibeError, type ImportCheckpointQuery } from '@autovibe/contract'
import type { CheckpointImportOptions } from '../commands/checkpoint-archives.ts'
import type { Action } from '../commands/define.ts'
import type { Context } from '../context.ts'
import { commitOf, commitTar } from '../git/export/commit-tar.ts'
import { openRepository, quote } from '../git/repository.ts'
import { makeScratch } from '../git/scratch.ts'
import { checkName, findOrCreate, projectName } from '../importing.ts'
import { writeNewFile } from '../local/new-file.ts'
import { assertContents } from '../local/tar-top.ts'
import { renderCheckpointLine } from '../render/moment.ts'
import { bytes as sizeOf } from '../render/text.ts'

export const checkpointImport: Action<CheckpointImportOptions> = async (context, _args, options) => {
  checkOptions(options)
  const { tar, branch, commit, label } = options
  const query = label === undefined ? {} : { label }
  if (tar === undefined) return importCommit(context, branch === undefined ? (commit ?? 'HEAD') : `refs/heads/${branch}`, options, query)
  const project = options.project
  if (project === undefined)
    throw new AutovibeError('request.invalid', 'Say which project it belongs to.', { fix: `autovibe checkpoint import --tar ${tar} --project NAME` })
  const contents = options.all ? ('all' as const) : ('project' as const)
  const again = `autovibe checkpoint import --tar ${quote(tar)} --project ${quote(project)}`
  if (tar !== '-') return sendTar(context, resolve(context.cwd, tar), project, { ...query, contents }, again)
  if (process.stdin.isTTY === true)
    throw new AutovibeError('request.invalid', 'A terminal sends no tar.', { fix: 'tar -cC FOLDER . | autovibe checkpoint import --tar - --project NAME' })
  // A file first: what is sent must be there once more for a second attempt.
  const folder = await mkdtemp(join(tmpdir(), 'autovibe-import-'))
  try {
    context.out.live('reading standard input')
    await writeNewFile(join(folder, 'tar'), process.stdin as AsyncIterable<Buffer>, { replace: false })
    return await sendTar(context, join(folder, 'tar'), project, { ...query, contents }, again)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** What belongs to another way is refused, rather than passed over. */
function checkOptions({ tar, branch, commit, repo, all }: CheckpointImportOptions): void {
  const refuse = (why: string, fix: string): never => {
    throw new AutovibeError('request.invalid', why, { fix })
  }
  if ([tar, branch, commit].filter((given) => given !== undefined).length !== 1)
    refuse('Say where from: --tar FILE, --branch NAME or --commit REV.', 'autovibe checkpoint import --tar FILE --project NAME')
  if (tar !== undefined && repo !== undefined) refuse('--repo belongs to --branch and --commit.', `autovibe checkpoint import --tar ${tar} --project NAME`)
  if (tar === undefined && all) refuse('--all belongs to --tar: a commit has the files of the project alone.', 'autovibe checkpoint import --commit HEAD')
}

async function importCommit(context: Context, revision: string, options: CheckpointImportOptions, query: Partial<ImportCheckpointQuery>): Promise<number> {
  const repository = await openRepository(resolve(context.cwd, options.repo ?? '.'))
  const commit = await commitOf(repository, revision)
  await using scratch = await makeScratch(repository)
  context.out.live(`reading ${commit.slice(0, 12)}`)
  const file = join(scratch.folder, 'commit.tar')
  await writeNewFile(file, commitTar(repository, commit, scratch, context.signal), { replace: false })
  return await send(context, file, options.project ?? projectName(repository.root), { ...query, contents: 'project', commit })
}

type Query = Partial<ImportCheckpointQuery>

/** `again`: the command for it as a tar of a project. */
async function sendTar(context: Context, file: string, name: string, query: Query & Pick<ImportCheckpointQuery, 'contents'>, again: string): Promise<number> {
  await sizeOfFile(file)
  await assertContents(file, query.contents, again)
  return send(context, file, name, query)
}

async function sizeOfFile(file: string): Promise<number> {
  const stats = await stat(file).catch(() => null)
  if (stats?.isFile()) return stats.size
  throw new AutovibeError('request.invalid', `There is no file ${file}.`, { fix: 'Name a tar: --tar FILE' })
}

async function send(context: Context, file: string, name: string, query: Query): Promise<number> {
  const { out, signal } = context
  const size = await sizeOfFile(file)
  const client = await context.connect()
  const project = await findOrCreate(client, { name: name.startsWith('prj_') ? name : checkName(name, '--project'), signal })
  out.live(`sending ${sizeOf(size)}`)
  const { checkpoint: pending, operation_id } = await client.projects.importCheckpoint(project.id, await openAsBlob(file), query, { signal })
  out.live(`${pending.id}: being stored and read back`)
  const checkpoint = await client.checkpoints.wait(pending.id, 'verified', { signal })
  out.endLive()
  out.answer({ checkpoint, operation_id }, [renderCheckpointLine(checkpoint, out.paint).trim()])
  if (checkpoint.state === 'verified') {
    out.next([`autovibe fork ${checkpoint.id} --budget 2.00`, `autovibe checkpoint export ${checkpoint.id} --tar FILE`])
    return 0
  }
  throw new AutovibeError(
    checkpoint.state === 'corrupt' ? 'checkpoint.corrupt' : 'substrate.failed',
    `The checkpoint became ${checkpoint.state}${checkpoint.state_reason === null ? '' : `: ${checkpoint.state_reason}`}`,
    { fix: `autovibe operation show ${operation_id}` },
  )
}
