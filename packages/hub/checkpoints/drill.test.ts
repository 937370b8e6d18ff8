/** The drill restores a checkpoint as if it were needed, sees whatever is not as it was, and leaves nothing behind. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, lutimes, mkdir, readdir, rename, rm, symlink, truncate, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import type { TreeChange } from '../substrates/substrate.ts'
import { drillRestore } from './drill.ts'
import { openScratch, type Scratch } from './scratch.ts'
import type { ProjectStore } from './store.ts'
import { folderChanges } from './testing/folder-changes.ts'
import { capture, damage, never, setUp, withCode } from './testing/place.ts'

const run = promisify(execFile)
const MIB = 1024 * 1024

/** A tree with everything that an agent can leave: names that are no text, locked folders, old times, large and sparse files. */
async function awkwardTree(root: string): Promise<void> {
  const at = (...parts: (string | Buffer)[]) => Buffer.concat([Buffer.from(root), ...parts.map((part) => Buffer.concat([Buffer.from('/'), Buffer.from(part)]))])
  await mkdir(at('project'))
  await mkdir(at('project', 'empty'))
  await mkdir(at('project', 'locked'))
  await writeFile(at('project', 'locked', 'key'), 'secret')
  await writeFile(at('project', Buffer.from([0xff, 0xfe, 0x0a])), 'no text')
  await writeFile(at('project', 'back\\slash'), 'one')
  await writeFile(at('project', 'locked.txt'), 'sorts between a folder and what is in it')
  await writeFile(at('project', 'nothing'), '')
  await writeFile(at('project', 'large'), Buffer.alloc(3 * MIB, 'the same again and again, '))
  await writeFile(at('project', 'sparse'), 'x')
  await truncate(at('project', 'sparse'), 5 * MIB)
  await symlink('/etc/passwd', at('project', 'link'))
  await symlink('/', at('project', 'root'))
  await symlink(Buffer.from([0x2e, 0x2e, 0xff]), at('project', 'dangling'))
  await lutimes(at('project', 'dangling'), 1, 1)
  await lutimes(at('project', 'link'), '-1000000.25', '-1000000.25')
  await utimes(at('project', 'nothing'), '-86400.5', '-86400.5')
  await utimes(at('project', 'back\\slash'), '1700000000.123001', '1700000000.123001')
  await chmod(at('project', 'large'), 0o4755)
  await chmod(at('project', 'empty'), 0o1777)
  await utimes(at('project', 'locked'), 12.5, 12.5)
}

/** Locked against its own owner; in the machine only, for whoever runs the tests may have no right to read such. */
const LOCKED: Readonly<Record<string, number>> = { 'project/locked': 0o100, 'project/locked/key': 0 }
async function* locking(changes: AsyncIterable<TreeChange>): AsyncGenerator<TreeChange, void> {
  for await (const change of changes) {
    const mode = change.kind === 'put' ? LOCKED[change.entry.path] : undefined
    yield change.kind === 'put' && mode !== undefined ? { ...change, entry: { ...change.entry, mode } } : change
  }
}

async function prepare(t: TestContext): Promise<{ store: ProjectStore; dataDir: string; scratch: Scratch; manifestSha256: string }> {
  const { store, tree, dataDir, folder } = await setUp(t)
  await awkwardTree(tree)
  const { manifestSha256 } = await capture(store, null, locking(folderChanges(tree)))
  return { store, dataDir, manifestSha256, scratch: await openScratch(folder('scratch')) }
}

test('a tree of every kind of entry comes back as its manifest says, and nothing is left of the drill', async (t) => {
  const { store, scratch, manifestSha256 } = await prepare(t)
  const { differences, entries, files, bytes } = await drillRestore(store, manifestSha256, scratch, never)
  assert.deepEqual(differences, [])
  assert.deepEqual([entries, files], [13, 7])
  assert.equal(bytes, 8 * MIB + 6 + 7 + 3 + 40)
  assert.deepEqual(await readdir(scratch.place), [])
})

const TAMPERINGS: readonly (readonly [string, RegExp, (project: string) => Promise<unknown>])[] = [
  ['a file that is missing', /^"project\/nothing" is missing$/, (project) => unlink(join(project, 'nothing'))],
  ['a file beside the others', /^"project\/more" is in no manifest$/, (project) => writeFile(join(project, 'more'), '')],
  ['a name of other bytes', /^"project\/\\\\xfd" is in no manifest$/, (project) => writeFile(Buffer.concat([Buffer.from(`${project}/`), Buffer.of(0xfd)]), '')],
  ['other bytes of the same size', /^"project\/back\\\\\\\\slash" has another content$/, (project) => overwrite(join(project, 'back\\slash'), 'two')],
  ['a file that is longer', /^"project\/locked.txt" has 41 bytes, not 40$/, (project) => overwrite(join(project, 'locked.txt'), 'x'.repeat(41))],
  ['another mode', /^"project\/large" has the mode 755, not 4755$/, (project) => chmod(join(project, 'large'), 0o755)],
  ['another time', /^"project\/nothing" has the time -86400501, not -86400500$/, (project) => utimes(join(project, 'nothing'), '-86400.501', '-86400.501')],
  [
    'a link in the place of a file',
    /^"project\/sparse" is symlink, not file$/,
    (project) => replace(join(project, 'sparse'), (path) => symlink('large', path)),
  ],
  ['a folder in the place of a link', /^"project\/root" is directory, not symlink$/, (project) => replace(join(project, 'root'), (path) => mkdir(path))],
  ['a link that leads elsewhere', /^"project\/dangling" leads elsewhere$/, (project) => replace(join(project, 'dangling'), (path) => linkFrom(path))],
  ['a file under another name', /^"project\/nothing" is missing, "project\/something" is in no manifest$/, (project) => moved(project)],
]

for (const [what, expected, tamper] of TAMPERINGS)
  test(`${what} is found and named`, async (t) => {
    const { store, scratch, manifestSha256 } = await prepare(t)
    const wrong: ProjectStore = {
      ...store,
      restore: async (manifest, folder, signal) => {
        await store.restore(manifest, folder, signal)
        await tamper(join(folder, 'project'))
      },
    }
    const { differences } = await drillRestore(wrong, manifestSha256, scratch, never)
    // The folder's own time changes with its entries.
    assert.match(differences.filter((each) => !each.startsWith('"project" ')).join(', '), expected)
    assert.deepEqual(await readdir(scratch.place), [])
  })

/** Its time stays. */
async function overwrite(path: string, text: string): Promise<void> {
  const reference = `${path}.time`
  await run('touch', ['-r', path, reference])
  await writeFile(path, text)
  await run('touch', ['-r', reference, path])
  await unlink(reference)
}

async function replace(path: string, by: (path: string) => Promise<unknown>): Promise<void> {
  await rm(path)
  await by(path)
}

async function linkFrom(path: string): Promise<void> {
  await symlink('elsewhere', path)
  // The time is compared first: it must be the same for the target to be what differs.
  await lutimes(path, 1, 1)
}

const moved = (project: string): Promise<void> => rename(join(project, 'nothing'), join(project, 'something'))

test('a damaged content makes the drill fail as such, and nothing is left of it', async (t) => {
  const { store, dataDir, scratch, manifestSha256 } = await prepare(t)
  const large = await store.entry(manifestSha256, 'project/large')
  await damage(dataDir, 'list', large?.sha256 ?? '', 'itself')
  await assert.rejects(drillRestore(store, manifestSha256, scratch, never), withCode('checkpoint.corrupt'))
  assert.deepEqual(await readdir(scratch.place), [])
})

test('a tree that has no room is refused before anything of it is written', async (t) => {
  const { store, scratch, manifestSha256 } = await prepare(t)
  const untouched: ProjectStore = { ...store, restore: () => assert.fail('it was restored') }
  const room = { totalBytes: 10 * MIB, freeBytes: 8 * MIB, freeFiles: null }
  await assert.rejects(drillRestore(untouched, manifestSha256, { ...scratch, room: async () => room }, never), withCode('substrate.disk_full', false))
})

test('a drill that is stopped ends, and nothing is left of it', async (t) => {
  const { store, scratch, manifestSha256 } = await prepare(t)
  const stop = new AbortController()
  const stopped: ProjectStore = {
    ...store,
    restore: async (manifest, folder, signal) => {
      await store.restore(manifest, folder, signal)
      stop.abort(new Error('no longer wanted'))
    },
  }
  await assert.rejects(drillRestore(stopped, manifestSha256, scratch, stop.signal))
  assert.deepEqual(await readdir(scratch.place), [])
})

test('what a Hub that died left in the scratch folder is gone when the next one opens it', async (t) => {
  const { store, manifestSha256, scratch } = await prepare(t)
  const left = join(scratch.place, 'dead')
  await mkdir(left)
  await store.restore(manifestSha256, left, never)
  assert.deepEqual(await readdir((await openScratch(scratch.place)).place), [])
})
