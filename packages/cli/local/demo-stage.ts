/** What the demo plays on: a small real git repository in a temporary folder, and the scripted model as a process of its own. */
import { spawn } from 'node:child_process'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { AutovibeError } from '@autovibe/contract'
import { git } from '../git/command.ts'

const MODEL = fileURLToPath(new URL('../../scripted-model/', import.meta.url))

export interface DemoRepository {
  readonly path: string
  remove(): Promise<void>
}

export async function makeDemoRepository(): Promise<DemoRepository> {
  const folder = await mkdtemp(join(tmpdir(), 'autovibe-demo-'))
  const path = join(folder, 'demo-project')
  const remove = () => rm(folder, { recursive: true, force: true })
  try {
    await fill(path)
  } catch (thrown) {
    await remove()
    throw thrown
  }
  return { path, remove }
}

async function fill(path: string): Promise<void> {
  await cp(join(MODEL, 'scripts', 'demo-project'), path, { recursive: true })
  const who = {
    GIT_AUTHOR_NAME: 'autovibe demo',
    GIT_AUTHOR_EMAIL: 'demo@localhost',
    GIT_COMMITTER_NAME: 'autovibe demo',
    GIT_COMMITTER_EMAIL: 'demo@localhost',
  }
  await git(['-c', 'init.defaultBranch=main', 'init', '--quiet'], { cwd: path })
  await git(['add', '--all'], { cwd: path })
  await git(['commit', '--quiet', '-m', 'A small project with a failing test'], { cwd: path, env: who })
}

export interface ScriptedModel {
  readonly url: string
  stop(): Promise<void>
}

/** Starts the scripted model; it ends when its standard input does, so also when this process dies. Its own words when the script has a mistake. */
export async function startScriptedModel(): Promise<ScriptedModel> {
  const child = spawn(process.execPath, [join(MODEL, 'main.ts'), join(MODEL, 'scripts', 'demo.yaml')], { stdio: ['pipe', 'pipe', 'pipe'] })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-8192)
  })
  child.stdin.on('error', () => undefined)
  const firstLine = new Promise<string>((resolve) => createInterface({ input: child.stdout }).once('line', resolve))
  const line = await Promise.race([
    firstLine,
    ended.then((code) => {
      throw new AutovibeError('script.invalid', `The scripted model ended at once (exit code ${code}): ${said.trim() || 'without a word'}`)
    }),
  ])
  const { url } = JSON.parse(line) as { url: string }
  return {
    url,
    async stop() {
      child.stdin.end()
      await ended
    },
  }
}
