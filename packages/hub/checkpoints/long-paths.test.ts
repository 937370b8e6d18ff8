/** A path as long as the kernel takes goes the whole way: made in a machine, captured, verified, restored, out as a tar, in again, and into another machine. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { MachineId } from '@autovibe/contract'
import { systemRuntime } from '../runtime.ts'
import { ConformanceDoor } from '../substrates/conformance-door.ts'
import { TestGround, type Tiers } from '../substrates/local/test-ground.ts'
import { reasonAgainst } from '../substrates/local/test-tiers.ts'
import { chooseEntries } from './archive/choose-entries.ts'
import { openImports } from './archive/imports.ts'
import { treeOfTar } from './archive/tree-of-tar.ts'
import { archiveOf } from './archive/write-archive.ts'
import { drillRestore } from './drill.ts'
import { openScratch } from './scratch.ts'
import { changesOf } from './testing/folder-changes.ts'
import { capture, never, openStore, put } from './testing/place.ts'

const LONGEST = 4090
const FOLDERS = Array.from({ length: 16 }, (_, index) => String.fromCharCode(97 + index).repeat(250))
const FOLDER = ['project', ...FOLDERS].join('/')
/** A name that makes the path so long. */
const name = (first: string): string => first.padEnd(LONGEST - FOLDER.length - 1, '-')
const NAMES = { small: name('small'), middle: name('middle'), large: name('large'), link: name('link'), folder: name('folder') }
const SIZES = { small: 5, middle: 300_000, large: 3_000_000 }

/** In perl, which goes down step by step; a shell would put the whole path before each step. */
const go = (work: string): string =>
  `perl -e '${FOLDERS.map((each, at) => `${at === 0 ? 'chdir "project" or die $!; ' : ''}mkdir "${each}"; chdir "${each}" or die $!;`).join(' ')} ${work}'`
const MAKE = go(
  [
    ...Object.entries(SIZES).map(([which, size]) => `open(F, ">", "${NAMES[which as 'small']}") or die $!; print F "${which[0]}" x ${size}; close F;`),
    `symlink("${'t'.repeat(4095)}", "${NAMES.link}") or die $!;`,
    `mkdir("${NAMES.folder}") or die $!; chmod(0711, "${NAMES.folder}") or die $!;`,
  ].join(' '),
)
const LOOK = go(`print((-s "${NAMES.small}") . " " . (-s "${NAMES.large}") . " " . length(readlink("${NAMES.link}")) . " " . (-d "${NAMES.folder}"));`)
const CHANGE = go(`open(F, ">>", "${NAMES.small}") or die $!; print F "er"; close F; unlink("${NAMES.middle}") or die $!;`)

for (const tiers of [{ copy: 'C3' }, { copy: 'C1' }] satisfies Tiers[]) {
  const skip = (await reasonAgainst(tiers)) ?? false
  test(`a path of ${LONGEST} bytes goes out of a machine, through the store, and into another machine (${tiers.copy})`, { skip }, async (t) => {
    const base = await mkdtemp(join(tmpdir(), 'av-longest-'))
    t.after(() => spawnSync('rm', ['-rf', base]))
    const ground = await TestGround.make(tiers)
    const door = new ConformanceDoor()
    const substrate = await ground.open(door)
    const machines: MachineId[] = []
    t.after(async () => {
      for (const id of machines) await substrate.destroy(id, never)
      await door.closeAll()
    })
    const store = await openStore(base)
    const start = async (from: string | null): Promise<MachineId> => {
      const machineId = systemRuntime.newId('machine')
      machines.push(machineId)
      await substrate.create({ machineId, name: 'long', from, token: 'token' }, never)
      await substrate.start(machineId, never)
      return machineId
    }
    const run = async (machineId: MachineId, script: string): Promise<string> => {
      const { code, output } = await door.run(machineId, script)
      assert.equal(code, 0, String(output))
      return String(output)
    }

    const machineId = await start(null)
    await run(machineId, MAKE)
    const [first, second] = [systemRuntime.newId('checkpoint'), systemRuntime.newId('checkpoint')]
    const { handle } = await substrate.snapshot(machineId, first, never)
    const made = await capture(store, null, substrate.changes(handle, null, never))
    assert.deepEqual(await store.verify(made.manifestSha256, null, never), { ok: true, damaged: [] })
    const longest = (await Array.fromAsync(store.entries(made.manifestSha256))).filter(({ path }) => Buffer.byteLength(path) === LONGEST)
    assert.deepEqual(longest.map(({ path, size }) => [path.slice(FOLDER.length + 1).replace(/-+$/, ''), size]).sort(), [
      ['folder', 0],
      ['large', SIZES.large],
      ['link', 4095],
      ['middle', SIZES.middle],
      ['small', SIZES.small],
    ])

    await run(machineId, CHANGE)
    const later = await substrate.snapshot(machineId, second, never)
    const changed = await capture(store, made, substrate.changes(later.handle, handle, never))
    assert.equal(changed.files, made.files - 1)

    // Restored, compared, and removed again.
    const scratch = await openScratch(join(base, 'scratch'))
    const drill = await drillRestore(store, made.manifestSha256, scratch, never)
    assert.deepEqual([drill.differences, drill.files], [[], made.files])
    // What a Hub that died has left of it goes too.
    await mkdir(join(base, 'scratch', 'left'))
    await store.restore(made.manifestSha256, join(base, 'scratch', 'left'), never)
    await openScratch(join(base, 'scratch'))

    const archive = archiveOf(store, made.checkpointId, chooseEntries(store, made.manifestSha256, { contents: 'all', inner_git: false }, null), never)
    const room = async () => ({ freeBytes: 1e12, totalBytes: 2e12, freeFiles: null })
    const imports = await openImports(join(base, 'imports'), async () => false, room)
    const importId = systemRuntime.newId('checkpoint')
    await imports.keep(importId, archive, { contents: 'all', timeMs: 3 })
    const kept = imports.read(importId)
    const imported = await capture(store, null, treeOfTar(kept.tar, kept.file, { contents: 'all', timeMs: 3 }))
    assert.equal(imported.manifestSha256, made.manifestSha256)

    const planted = await substrate.plant(systemRuntime.newId('machine'), importId, (folder) => store.restore(imported.manifestSha256, folder, never), never)
    const other = await start(planted.handle)
    assert.equal(await run(other, LOOK), `${SIZES.small} ${SIZES.large} 4095 1`)

    for (const id of machines.splice(0)) await substrate.destroy(id, never)
    for (const id of [first, second, importId]) await substrate.dropSnapshot(id, never)
    await ground.dispose()
  })
}

test('a path that is one byte too long is refused as such, and the machine’s other files are not stored as a checkpoint', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'av-longest-'))
  t.after(() => spawnSync('rm', ['-rf', base]))
  const store = await openStore(base)
  const path = `${FOLDER}/`.padEnd(4096, 'x')
  await assert.rejects(capture(store, null, changesOf(put('project/a', 'a'), put(path, 'b'))), { code: 'substrate.failed', message: /longer than 4095/ })
})
