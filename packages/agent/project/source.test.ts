/** Bringing in the source: real bundles, real git. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { AutovibeError, SOURCE_REF } from '@autovibe/contract'
import type { Paths } from '../adapters/adapter.ts'
import { HubLost } from '../door/wire.ts'
import { markSourceKept, prepareSource, type Source } from './source.ts'

const never = new AbortController().signal

function world(context: TestContext, branch: string | null): { paths: Paths; bundle: Buffer; source: Source; git: (...args: string[]) => string } {
  const folder = mkdtempSync(join(tmpdir(), 'autovibe-source-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const paths: Paths = { tree: folder, project: join(folder, 'project'), home: join(folder, 'home'), socket: '', agents: null }
  for (const path of [paths.project, paths.home, join(folder, 'origin')]) mkdirSync(path)
  const inside = (where: string, ...args: string[]): string =>
    execFileSync('git', ['-C', where, '-c', 'user.name=a', '-c', 'user.email=a@example.invalid', ...args], { encoding: 'utf8' }).trim()
  const origin = join(folder, 'origin')
  inside(origin, 'init', '--quiet')
  writeFileSync(join(origin, 'a.txt'), 'one\n')
  inside(origin, 'add', '.')
  inside(origin, 'commit', '--quiet', '-m', 'first')
  inside(origin, 'update-ref', SOURCE_REF, 'HEAD')
  inside(origin, 'bundle', 'create', '--quiet', 'source.bundle', SOURCE_REF)
  const bundle = readFileSync(join(origin, 'source.bundle'))
  const source = { sha256: createHash('sha256').update(bundle).digest('hex'), bytes: bundle.length, ref: SOURCE_REF, branch }
  return { paths, bundle, source, git: (...args) => inside(paths.project, ...args) }
}

test('a checkout that was interrupted is begun again, a finished one is left as it is', async (t) => {
  const { paths, bundle, source, git } = world(t, null)
  let fetches = 0
  const door = {
    source: async () => {
      fetches++
      return Readable.from([bundle])
    },
  }
  mkdirSync(join(paths.home, '.autovibe'))
  writeFileSync(join(paths.home, '.autovibe', 'source.json'), JSON.stringify({ sha256: source.sha256, state: 'begun' }))
  writeFileSync(join(paths.project, 'half'), '')
  assert.equal(await prepareSource(door, source, paths, 'mch_x', never), true)
  assert.equal(existsSync(join(paths.project, 'half')), false)
  assert.equal(git('branch', '--show-current'), 'main')
  assert.equal(git('status', '--porcelain'), '')

  writeFileSync(join(paths.project, 'a.txt'), 'mine\n')
  assert.equal(await prepareSource(door, source, paths, 'mch_x', never), true)
  await markSourceKept(paths)
  assert.equal(await prepareSource(door, source, paths, 'mch_x', never), false)
  assert.equal(readFileSync(join(paths.project, 'a.txt'), 'utf8'), 'mine\n')
  assert.equal(fetches, 1)
})

test('a folder that holds something else is never touched', async (t) => {
  const { paths, source } = world(t, null)
  writeFileSync(join(paths.project, 'precious'), 'mine')
  const door = { source: () => assert.fail('it was fetched') }
  assert.equal(await prepareSource(door, source, paths, 'mch_x', never), false)
  assert.equal(readFileSync(join(paths.project, 'precious'), 'utf8'), 'mine')
})

test('a bundle that is cut off, too long or another one is fetched again', async (t) => {
  const { paths, bundle, source, git } = world(t, 'work/of mine'.replace(' ', '-'))
  const answers = [bundle.subarray(0, 100), Buffer.concat([bundle, bundle]), Buffer.alloc(bundle.length), bundle]
  const door = { source: async () => Readable.from([answers.shift() ?? assert.fail('fetched too often')]) }
  assert.equal(await prepareSource(door, source, paths, 'mch_x', never), true)
  assert.equal(git('branch', '--show-current'), 'work/of-mine')
  assert.deepEqual(answers, [])
})

test('a source that never comes whole ends with what came instead, and a Hub that is away is none of it', async (t) => {
  const { paths, bundle, source } = world(t, null)
  let fetches = 0
  const door = {
    source: async () => {
      if (fetches++ % 2 === 0) throw new HubLost('nobody listens')
      return Readable.from([Buffer.alloc(bundle.length)])
    },
  }
  await assert.rejects(prepareSource(door, source, paths, 'mch_x', never), {
    code: 'project.source_invalid',
    message: 'The source did not come whole in 6 attempts. It is not the announced one.',
  })
  assert.equal(fetches, 12)
  assert.deepEqual(readdirSync(paths.project), [])
})

test('a source that git refuses is an error that says why, and the bundle is not left behind', async (t) => {
  for (const change of [{ branch: '..bad' }, { ref: 'refs/heads/not-there' }]) {
    const { paths, bundle, source } = world(t, null)
    await assert.rejects(prepareSource({ source: async () => Readable.from([bundle]) }, { ...source, ...change }, paths, 'mch_x', never), (error) => {
      assert.ok(error instanceof AutovibeError)
      assert.equal(error.code, 'project.source_invalid')
      return true
    })
    assert.equal(existsSync(join(paths.home, '.autovibe', 'incoming.bundle')), false)
  }
})
