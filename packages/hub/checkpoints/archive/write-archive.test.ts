/** A checkpoint as a tar, unpacked by the tools that people have. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, lstat, mkdir, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { describe, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { readTar } from '@autovibe/contract'
import { anyChanges } from '@autovibe/core/checkpoints/manifest.arbitrary.ts'
import fc from 'fast-check'
import type { TreeChange } from '../../substrates/substrate.ts'
import type { ProjectStore } from '../store.ts'
import { changesOf, folderChanges, readFolder } from '../testing/folder-changes.ts'
import { capture, damage, folderEntry, type Kept, never, put, setUp, withCode } from '../testing/place.ts'
import { chooseEntries } from './choose-entries.ts'
import { depthFirst } from './depth-first.ts'
import { archiveOf } from './write-archive.ts'

const run = promisify(execFile)
const ALL = { contents: 'all', inner_git: false } as const
const PROJECT = { contents: 'project', inner_git: false } as const

const archive = (store: ProjectStore, { checkpointId, manifestSha256 }: Kept, query: Parameters<typeof chooseEntries>[2] = ALL) =>
  archiveOf(store, checkpointId, chooseEntries(store, manifestSha256, query, null), never)

async function namesIn(tar: AsyncIterable<Uint8Array>): Promise<string[]> {
  const names: string[] = []
  for await (const { path } of readTar(tar)) names.push(Buffer.from(path).toString())
  return names
}

/** What a manifest says of a folder, times included. */
async function seen(folder: string): Promise<Map<string, string>> {
  const all = await readFolder(folder)
  for await (const change of folderChanges(folder))
    if (change.kind === 'put')
      all.set(change.entry.path, `${all.get(change.entry.path)} ${change.entry.type === 'symlink' ? '' : Math.floor(change.entry.mtime_ms / 1000)}`)
  return all
}

/** Everything that makes a tar hard: names in every alphabet and none, long ones, folders that nobody may write to beside names that sort into them. */
async function hardTree(tree: string): Promise<void> {
  const project = join(tree, 'project')
  const deep = join(project, ...Array.from({ length: 12 }, (_, depth) => `${'long'.repeat(8)}-${depth}`))
  await mkdir(deep, { recursive: true })
  await mkdir(join(tree, 'home'))
  await writeFile(join(deep, 'far down'), 'far')
  await writeFile(join(project, 'n'.repeat(255)), 'named long')
  await writeFile(join(project, `grüße-${'ü'.repeat(80)}`), 'named in UTF-8')
  await writeFile(Buffer.concat([Buffer.from(`${project}/`), Buffer.from([0xff, 0xfe, 0x41])]), 'named in bytes')
  await writeFile(join(project, 'new\nline \\ "quoted" *'), 'named badly')
  for (const name of ['a', 'a-b', 'a.c']) {
    await mkdir(join(project, name))
    await writeFile(join(project, name, 'inner'), name)
  }
  await writeFile(join(project, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 })
  await writeFile(join(project, 'large'), Buffer.alloc(3 * 1024 * 1024 + 17, 'large '))
  await writeFile(join(project, 'empty'), '')
  await symlink('run.sh', join(project, 'link'))
  await symlink('t'.repeat(300), join(project, 'long link'))
  await symlink('/etc/passwd', join(project, 'outside'))
  await writeFile(join(tree, 'home', 'conversation'), 'said')
  await utimes(join(project, 'run.sh'), 1_234_567_890.123456, 1_234_567_890.123456)
  await chmod(join(project, 'a'), 0o555)
  for (const name of ['a', 'a-b']) await utimes(join(project, name), 1_000_000_000, 1_000_000_000)
}

const TOOLS = [
  { name: 'GNU tar', command: ['tar', '-xpf', '-'] },
  { name: 'bsdtar', command: ['bsdtar', '-xpf', '-'] },
] as const

async function isMissing(t: TestContext, program: string): Promise<boolean> {
  const isThere = await run(program, ['--version']).then(
    () => true,
    () => false,
  )
  if (!isThere) t.skip(`${program} is not installed`)
  return !isThere
}

describe('the archive of a checkpoint', () => {
  for (const { name, command } of TOOLS)
    test(`is unpacked by ${name} to exactly the tree`, async (t) => {
      if (await isMissing(t, command[0])) return
      const { store, tree, folder } = await setUp(t)
      await hardTree(tree)
      const kept = await capture(store, null, folderChanges(tree))
      await mkdir(folder('out'))
      const [program, ...args] = command
      const child = spawn(program, args, { cwd: folder('out'), env: { ...process.env, LC_ALL: 'C.UTF-8' }, stdio: ['pipe', 'ignore', 'pipe'] })
      const said: Buffer[] = []
      child.stderr.on('data', (chunk: Buffer) => said.push(chunk))
      const ended = once(child, 'close')
      await pipeline(Readable.from(archive(store, kept), { objectMode: false }), child.stdin)
      assert.deepEqual([(await ended)[0], Buffer.concat(said).toString()], [0, ''])
      assert.deepEqual(await seen(folder('out')), await seen(tree))
      assert.equal(
        (await lstat(join(folder('out'), 'project', 'run.sh'))).mtimeMs.toFixed(2),
        (await lstat(join(tree, 'project', 'run.sh'))).mtimeMs.toFixed(2),
      )
    })

  test('of the project has no folder of its own on top, nothing of git, and nothing of the home', async (t) => {
    const { store } = await setUp(t)
    const changes = [
      folderEntry('home'),
      put('home/secret', 's'),
      folderEntry('project'),
      folderEntry('project/.git'),
      put('project/.git/config', '[core]'),
      put('project/a', '1'),
      folderEntry('project/sub'),
      put('project/sub/.git', 'gitdir: x'),
    ]
    const kept = await capture(store, null, changesOf(...changes))
    assert.deepEqual(await namesIn(archive(store, kept, PROJECT)), ['a', 'sub'])
    assert.deepEqual(await namesIn(archive(store, kept, { ...PROJECT, inner_git: true })), ['a', 'sub', 'sub/.git'])
  })

  test('without what is ignored follows the rules of the earlier tree, and keeps what that tree had', async (t) => {
    const { store } = await setUp(t)
    const before = await capture(
      store,
      null,
      changesOf(folderEntry('project'), put('project/.gitignore', '*.log\nnode_modules\n'), put('project/kept.log', '1')),
    )
    const after = await capture(
      store,
      before,
      changesOf(
        put('project/.gitignore', '*\n'),
        put('project/new.log', '2'),
        folderEntry('project/node_modules'),
        put('project/node_modules/x', '3'),
        put('project/work', '4'),
      ),
    )
    const since = (isTracked: boolean) =>
      namesIn(
        archiveOf(store, after.checkpointId, chooseEntries(store, after.manifestSha256, PROJECT, { manifestSha256: before.manifestSha256, isTracked }), never),
      )
    assert.deepEqual(await since(true), ['.gitignore', 'kept.log', 'node_modules', 'work'])
    assert.deepEqual(await since(false), ['.gitignore', 'node_modules', 'work'])
  })

  test('breaks off where a content is damaged, small or large', async (t) => {
    for (const size of [1000, 5 * 1024 * 1024]) {
      const { store, dataDir } = await setUp(t)
      const noise = Buffer.from(Array.from({ length: size }, (_, at) => (at * 7919) % 251))
      const kept = await capture(store, null, changesOf(folderEntry('project'), put('project/a', 'sound'), put('project/b', noise)))
      const entry = await store.entry(kept.manifestSha256, 'project/b')
      await damage(dataDir, size > 1024 * 1024 ? 'list' : 'content', entry?.sha256 ?? '', size > 1024 * 1024 ? 'chunk' : 'itself')
      await assert.rejects(namesIn(archive(store, kept)), withCode('checkpoint.corrupt'))
    }
  })

  test('ends its reading when its reader leaves', async (t) => {
    const { store } = await setUp(t)
    const kept = await capture(
      store,
      null,
      changesOf(folderEntry('project'), ...Array.from({ length: 50 }, (_, n) => put(`project/${n}`, Buffer.alloc(100_000, String(n))))),
    )
    const stream = Readable.from(archive(store, kept), { objectMode: false })
    await once(stream, 'readable')
    stream.destroy()
    await once(stream, 'close')
    const stopped = new AbortController()
    const tar = archiveOf(store, kept.checkpointId, chooseEntries(store, kept.manifestSha256, ALL, null), stopped.signal)
    await tar.next()
    stopped.abort()
    await assert.rejects(
      async () => {
        for await (const _ of tar);
      },
      { name: 'AbortError' },
    )
  })
})

test('depth first, a folder whose name begins its neighbours’ names comes with what lies in it, at any depth', async (t) => {
  const { store } = await setUp(t)
  const folders = ['p', 'p/a', 'p/a-', 'p/a/b', 'p/a/b-c', 'p/a-/d', 'p/a-/d.e']
  const { manifestSha256 } = await capture(
    store,
    null,
    changesOf(...folders.map(folderEntry), put('p/a/b/x', ''), put('p/a/z', ''), put('p/a-/d/y', ''), put('p/a.c', ''), put('p/b', ''), put('p-', '')),
  )
  const told: string[] = []
  for await (const { path } of depthFirst(store, manifestSha256)) told.push(path)
  assert.deepEqual(told, ['p', 'p/a', 'p/a/b', 'p/a/b/x', 'p/a/b-c', 'p/a/z', 'p/a-', 'p/a-/d', 'p/a-/d/y', 'p/a-/d.e', 'p/a.c', 'p/b', 'p-'])
})

test('depth first, each folder of any tree is told as a whole, and nothing twice or not at all', async (t) => {
  const { store } = await setUp(t)
  await fc.assert(
    fc.asyncProperty(anyChanges, async (changes) => {
      const tree: TreeChange[] = changes.map((change) =>
        change.kind === 'remove' ? change : { kind: 'put', entry: { ...change.entry, size: 0 }, open: () => Readable.from([], { objectMode: false }) },
      )
      const { manifestSha256 } = await capture(store, null, changesOf(...tree))
      const told: string[] = []
      for await (const { path } of depthFirst(store, manifestSha256)) told.push(path)
      const stored: string[] = []
      for await (const { path } of store.entries(manifestSha256)) stored.push(path)
      assert.deepEqual([...told].sort(), stored.sort())
      const left = new Set<string>()
      let open: string[] = []
      for (const path of told) {
        const parents = path.split('/').slice(0, -1)
        for (let depth = 0; depth < open.length; depth++)
          if (open[depth] !== parents[depth]) for (let gone = depth; gone < open.length; gone++) left.add(open.slice(0, gone + 1).join('/'))
        for (let depth = 1; depth <= parents.length; depth++)
          assert.ok(!left.has(parents.slice(0, depth).join('/')), `${path} comes after its folder had ended`)
        open = path.split('/')
      }
    }),
    { numRuns: 100 },
  )
})
