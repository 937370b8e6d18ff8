/** Two trees, what the store says of their difference, and what the real git makes of that. */
import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import type { FileChange } from '@autovibe/contract'
import { type DiffWish, diffCheckpoints } from '../diff/diff-checkpoints.ts'
import { folderChanges, readFolder } from './folder-changes.ts'
import { capture, never, setUp } from './place.ts'

export const run = promisify(execFile)
export const GIT_ENV = { PATH: process.env['PATH'], HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1', LC_ALL: 'C' }
export type Edit = (project: string) => Promise<void>

/** Makes two trees, captures both, and gives their differences and the folders of both projects. */
export async function compare(
  t: TestContext,
  before: Edit,
  after: Edit,
  wish: DiffWish = { detail: 'whole', renames: true },
): Promise<{ changes: FileChange[]; before: string; after: string }> {
  const { store, folder } = await setUp(t)
  const trees = folder('trees')
  const older = join(trees, 'before')
  const newer = join(trees, 'after')
  await mkdir(join(older, 'project'), { recursive: true })
  await before(join(older, 'project'))
  // Node's own cp fails at names that are not UTF-8.
  await run('cp', ['-a', older, newer])
  await after(join(newer, 'project'))
  const a = await capture(store, null, folderChanges(older))
  const b = await capture(store, null, folderChanges(newer))
  const pair = { store, beforeManifestSha256: a.manifestSha256, afterManifestSha256: b.manifestSha256, signal: never }
  return { changes: await Array.fromAsync(diffCheckpoints(pair, wish)), before: join(older, 'project'), after: join(newer, 'project') }
}

/** Applies all patches as one with the real git, inside a repository or without. */
export async function gitApply(folder: string, changes: readonly FileChange[], options: readonly string[] = []): Promise<void> {
  const file = `${folder}.patch`
  await writeFile(file, changes.map(({ patch }) => patch ?? '').join(''))
  await run('git', ['apply', '--whitespace=nowarn', ...options, file], { cwd: folder, env: { ...GIT_ENV, GIT_CEILING_DIRECTORIES: tmpdir() } })
}

/** What git can know of a folder: no empty folders, no permissions but the owner's right to execute. */
export async function gitView(folder: string): Promise<Map<string, string>> {
  const view = new Map<string, string>()
  for (const [path, seen] of await readFolder(folder)) {
    const [, type, mode, rest] = /^(\w+) (\d*) (.*)$/s.exec(seen) ?? []
    if (type !== 'directory' && !path.split('/').includes('.git'))
      view.set(path, `${type} ${(Number.parseInt(mode || '0', 8) & 0o100) === 0 ? '' : 'x'} ${rest}`)
  }
  return view
}
