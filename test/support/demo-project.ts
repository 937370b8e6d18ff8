/** The demo's project as a real git repository, and its import through the SDK. */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { SOURCE_REF } from '@autovibe/contract'
import type { Autovibe } from '@autovibe/sdk'

const run = promisify(execFile)
const DEMO_PROJECT = fileURLToPath(new URL('../../packages/scripted-model/scripts/demo-project', import.meta.url))

export interface Repository {
  readonly path: string
  git(...args: string[]): Promise<string>
  remove(): Promise<void>
}

/** A repository with one commit, whose one test of three fails. */
export async function demoRepository(): Promise<Repository> {
  const path = await mkdtemp(join(tmpdir(), 'avrepo-'))
  await cp(DEMO_PROJECT, path, { recursive: true })
  const git = async (...args: string[]) => (await run('git', ['-C', path, '-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args])).stdout.trim()
  await git('init', '-q', '-b', 'main')
  await git('add', '-A')
  await git('commit', '-q', '-m', 'start')
  return { path, git, remove: () => rm(path, { recursive: true, force: true }) }
}

/** Imports the repository's HEAD as a new project and answers its id. */
export async function importProject(client: Autovibe, repository: Repository, name: string): Promise<string> {
  await repository.git('update-ref', SOURCE_REF, 'HEAD')
  const bundle = join(repository.path, '.git', 'import.bundle')
  await repository.git('bundle', 'create', '-q', bundle, SOURCE_REF)
  const commit = await repository.git('rev-parse', 'HEAD')
  const project = await client.projects.create({ name })
  await client.projects.putSource(project.id, new Uint8Array(await readFile(bundle)), { commit, baseCommit: commit, branch: 'main' })
  return project.id
}
