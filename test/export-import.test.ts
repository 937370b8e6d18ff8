/** A checkpoint taken out as a tar and as a branch, and brought in again, with the real command, Hub, git and tar. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Checkpoint, OperationId, Run } from '@autovibe/contract'
import { z } from 'zod'
import { type Place, recordsOf } from './support/command.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

const SCRIPT = fileURLToPath(new URL('../packages/scripted-model/scripts/demo.yaml', import.meta.url))
const Imported = z.object({ checkpoint: Checkpoint, operation_id: OperationId })
const ToTar = z.object({ checkpoint_id: z.string(), file: z.string(), bytes: z.int(), contents: z.enum(['project', 'all']) })
const ToBranch = z.object({
  checkpoint_id: z.string(),
  repository: z.string(),
  branch: z.string(),
  commit: z.string(),
  parent: z.string().nullable(),
  files: z.int(),
  bytes: z.int(),
})

const execute = promisify(execFile)
let scripted: ScriptedPlace
let place: Place
let checkpoint: Checkpoint

before(async () => {
  scripted = await openScriptedPlace(SCRIPT)
  place = scripted.place
  const { code, stdout } = await place.run([
    'run',
    'Make the failing test pass',
    '--project',
    scripted.repository.path,
    '--provider',
    'scripted',
    '--budget',
    '2.00',
    '--json',
  ])
  assert.equal(code, 0, stdout)
  const run = Run.parse(recordsOf(stdout).at(-1)?.['run'])
  const [newest] = await (await place.client()).checkpoints.list({ machine: run.machine_id }).take(1)
  assert.ok(newest)
  checkpoint = newest
})
after(() => scripted.close())

const git = async (...args: string[]): Promise<string> => (await execute('git', args, { cwd: scripted.repository.path })).stdout.trim()
const tarOf = (name: string): string => join(place.folder, name)
/** Every file below, with its content, and every folder with its mode. */
async function unpacked(tar: string): Promise<string> {
  const folder = `${tar}.d`
  await mkdir(folder)
  await execute('tar', ['-xpf', tar, '-C', folder])
  return (
    await execute('sh', ['-c', 'find . -printf "%p %y %m %s %T@ %l\\n" | sort | tail -n +2; find . -type f -exec sha256sum {} + | sort'], { cwd: folder })
  ).stdout
}

test('a branch of the checkpoint holds what apply makes of it, with the work tree as it was', async () => {
  const before = await git('status', '--porcelain', '--ignored')
  const { branch, commit, parent } = await place.json(ToBranch, ['checkpoint', 'export', checkpoint.id, '--repo', scripted.repository.path, '--branch'])
  assert.equal(branch, `autovibe/${checkpoint.machine_name}/${checkpoint.id}`)
  assert.equal(await git('rev-parse', branch), commit)
  assert.equal(parent, await git('rev-parse', 'HEAD'))
  assert.equal((await place.run(['apply', checkpoint.id, '--project', scripted.repository.path, '--branch', 'applied'])).code, 0)
  assert.equal(await git('rev-parse', `${branch}^{tree}`), await git('rev-parse', 'applied^{tree}'))
  assert.match(await git('show', '--no-patch', '--format=%B', branch), new RegExp(`Autovibe-Checkpoint: ${checkpoint.id}`))
  assert.equal(await git('status', '--porcelain', '--ignored'), before)
  assert.equal((await place.refusal(['checkpoint', 'export', checkpoint.id, '--repo', scripted.repository.path, '--branch'])).code, 'conflict.name_taken')
  const { commit: again } = await place.json(ToBranch, [
    'checkpoint',
    'export',
    checkpoint.id,
    '--repo',
    scripted.repository.path,
    '--branch',
    branch,
    '--force',
  ])
  assert.equal(again, commit)
})

test('a tar goes out, comes in verified under another project, and goes out the same; machines start from it', async () => {
  const { bytes } = await place.json(ToTar, ['checkpoint', 'export', checkpoint.id, '--tar', tarOf('out.tar')])
  assert.equal(bytes % 512, 0)
  assert.equal((await place.refusal(['checkpoint', 'export', checkpoint.id, '--tar', tarOf('out.tar')])).code, 'conflict.name_taken')
  const { checkpoint: imported } = await place.json(Imported, [
    'checkpoint',
    'import',
    '--tar',
    tarOf('out.tar'),
    '--project',
    'brought',
    '--label',
    'from outside',
  ])
  assert.deepEqual([imported.state, imported.trigger, imported.label, imported.parent_id], ['verified', 'import', 'from outside', null])
  await place.json(ToTar, ['checkpoint', 'export', imported.id, '--tar', tarOf('back.tar')])
  assert.equal(await unpacked(tarOf('back.tar')), await unpacked(tarOf('out.tar')))
  assert.deepEqual(await readdir(join(place.dataDir, 'imports')), [])
  assert.equal((await place.run(['checkpoint', 'verify', imported.id, '--restore'])).code, 0)

  const forked = await place.run(['fork', imported.id, '--name', 'from-import', '--budget', '2.00'])
  assert.equal(forked.code, 0, forked.stderr)
  const names = (await execute('tar', ['-tf', tarOf('out.tar')])).stdout.split('\n').filter((name) => name !== '' && !name.endsWith('/'))
  const seen = await place.run(['exec', 'from-import', '--', 'sh', '-c', 'find . -type f -o -type l | wc -l'])
  assert.deepEqual([seen.code, Number(seen.stdout)], [0, names.length], seen.stderr)
  const went = await place.run(['run', 'Make the failing test pass', '--machine', 'from-import', '--provider', 'scripted', '--budget', '1.00', '--json'])
  assert.equal(went.code, 0, went.stderr + went.stdout)
})

test('a tar of everything brings the conversation back too, with the very same manifest', async () => {
  await place.json(ToTar, ['checkpoint', 'export', checkpoint.id, '--all', '--tar', tarOf('all.tar')])
  const { checkpoint: imported } = await place.json(Imported, ['checkpoint', 'import', '--all', '--tar', tarOf('all.tar'), '--project', 'brought-whole'])
  assert.equal(imported.manifest_sha256, checkpoint.manifest_sha256)
})

test('standard output and standard input do as well as files', async () => {
  // The demo's files are ASCII, as is the rest of a tar of them: text holds it.
  const { code, stdout, stderr } = await place.run(['checkpoint', 'export', checkpoint.id, '--tar', '-'])
  assert.equal(code, 0, stderr)
  const imported = await place.run(['checkpoint', 'import', '--tar', '-', '--project', 'piped', '--json'], { input: stdout })
  assert.equal(imported.code, 0, imported.stderr)
  const { id } = Imported.parse(JSON.parse(imported.stdout)).checkpoint
  const [ours, theirs] = [await place.run(['checkpoint', 'export', id, '--tar', '-']), stdout]
  assert.equal(ours.stdout.replace(id, checkpoint.id).slice(1024), theirs.slice(1024))
  assert.equal((await place.refusal(['checkpoint', 'export', checkpoint.id])).code, 'request.invalid')
  const asJson = await place.run(['checkpoint', 'export', checkpoint.id, '--tar', '-', '--json'])
  assert.deepEqual([asJson.code, asJson.stdout], [2, ''])
})

test('a commit comes in exactly as git has it, and out again as the same tree on the same commit', async () => {
  await writeFile(join(scripted.repository.path, '.gitattributes'), 'secret.txt export-ignore\n*.txt text eol=crlf\n')
  await writeFile(join(scripted.repository.path, 'secret.txt'), 'one\n')
  await writeFile(join(scripted.repository.path, 'run.sh'), '#!/bin/sh\n')
  await chmod(join(scripted.repository.path, 'run.sh'), 0o755)
  await symlink('run.sh', join(scripted.repository.path, 'link'))
  const base = await git('rev-parse', 'HEAD')
  await git('switch', '--quiet', '--create', 'feature')
  await git('add', '--all')
  await git('-c', 'user.name=t', '-c', 'user.email=t@localhost', 'commit', '--quiet', '--message', 'more')
  const project = (await (await place.client()).checkpoints.get(checkpoint.id)).project_id
  const { checkpoint: imported } = await place.json(Imported, [
    'checkpoint',
    'import',
    '--branch',
    'feature',
    '--repo',
    scripted.repository.path,
    '--project',
    project,
  ])
  const exported = await place.json(ToBranch, ['checkpoint', 'export', imported.id, '--repo', scripted.repository.path, '--branch', 'round', '--ignored'])
  assert.equal(await git('rev-parse', 'round^{tree}'), await git('rev-parse', 'feature^{tree}'))
  assert.equal(exported.parent, null)
  const { checkpoint: ofBase } = await place.json(Imported, [
    'checkpoint',
    'import',
    '--commit',
    base,
    '--repo',
    scripted.repository.path,
    '--project',
    project,
  ])
  assert.equal((await place.json(ToBranch, ['checkpoint', 'export', ofBase.id, '--repo', scripted.repository.path, '--branch', 'on-base'])).parent, base)
  assert.equal(await git('rev-parse', 'on-base^{tree}'), await git('rev-parse', `${base}^{tree}`))
  assert.equal(
    (await place.refusal(['checkpoint', 'import', '--branch', 'nowhere', '--repo', scripted.repository.path, '--project', project])).code,
    'not_found',
  )
})

test('a tar that leads out of its folder is refused with one error, and nothing has changed', async () => {
  const client = await place.client()
  const before = (await client.checkpoints.list().take(1000)).length
  await writeFile(tarOf('x'), 'x')
  await execute('tar', ['-cPf', tarOf('evil.tar'), '--transform', 's,.*/x$,../../evil,', tarOf('x')])
  const refused = await place.refusal(['checkpoint', 'import', '--tar', tarOf('evil.tar'), '--project', 'brought'])
  assert.deepEqual([refused.code, refused.exit], ['archive.invalid', 2])
  assert.equal((await client.checkpoints.list().take(1000)).length, before)
  assert.deepEqual(await readdir(join(place.dataDir, 'imports')), [])
  for (const args of [
    ['--tar', tarOf('evil.tar')],
    ['--project', 'p'],
    ['--tar', 'a', '--branch', 'b'],
    ['--tar', tarOf('missing.tar'), '--project', 'p'],
  ])
    assert.equal((await place.refusal(['checkpoint', 'import', ...args])).code, 'request.invalid')
  assert.equal((await readFile(tarOf('x'))).toString(), 'x')
})
