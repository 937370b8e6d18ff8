import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { link, mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { mountBtrfs } from '../../packages/hub/substrates/local/test-filesystem.ts'
import type { Disk } from './guests.ts'
import { bootOf, diskOf, fileOf, sandboxRefused } from './guests-stage.ts'
import { SandboxGuests } from './sandbox-guests.ts'

/** Writes the same number into two files, one after the other, as fast as it can. */
const TWICE = `cd /var/lib/autovibe; n=0; while :; do n=$((n + 1)); echo $n > one; echo $n > two; done`
const command = (): readonly string[] => ['/bin/sh', '-c', TWICE]
let btrfs: { readonly folder: string } | string = 'not looked yet'
before(async () => {
  btrfs = await mountBtrfs()
})
after(async () => {
  if (typeof btrfs !== 'string') assert.deepEqual(await readdir(btrfs.folder), [], 'no folder and no subvolume is left')
})

/** The same tests on whatever the temporary folder lies on, and on btrfs. */
function onBoth(name: string, skip: string | false, body: (guests: SandboxGuests) => Promise<void>): void {
  const opened = async (t: TestContext, root: string): Promise<void> => {
    const guests = await SandboxGuests.open({ root, command })
    t.after(() => guests.close())
    await body(guests)
  }
  test(`${name}, as plain folders`, { skip }, async (t) => opened(t, await mkdtemp(join(tmpdir(), 'sbx-'))))
  test(`${name}, as btrfs subvolumes`, { skip }, async (t) => {
    if (typeof btrfs === 'string') return t.skip(btrfs)
    await opened(t, join(btrfs.folder, 'guests'))
  })
}

async function written(guests: SandboxGuests, key: string, text: string): Promise<Disk> {
  const disk = diskOf(key)
  await guests.createDisk(disk, { kind: 'empty' })
  await writeFile(join(guests.folder(disk), 'file'), text)
  return disk
}
const textOf = (guests: SandboxGuests, disk: Disk): Promise<string> => readFile(join(guests.folder(disk), 'file'), 'utf8')
const write = (guests: SandboxGuests, disk: Disk, text: string): Promise<void> => writeFile(join(guests.folder(disk), 'file'), text)

for (const how of ['linked', 'full'] as const)
  onBoth(`a ${how} clone of a disk or of its snapshot goes its own way`, false, async (guests) => {
    const disk = await written(guests, 'origin', 'then')
    await guests.snapshot({ vmid: 100, running: false, name: 's1', disks: [disk], memory: null })
    await write(guests, disk, 'now')
    const [ofDisk, ofSnapshot] = [diskOf('copy'), diskOf('earlier')]
    await guests.cloneDisk(disk, null, ofDisk, how)
    await guests.cloneDisk(disk, 's1', ofSnapshot, how)
    assert.deepEqual([await textOf(guests, ofDisk), await textOf(guests, ofSnapshot)], ['now', 'then'])
    await write(guests, ofDisk, 'changed')
    await guests.deleteSnapshot({ vmid: 100, running: false, name: 's1', disks: [disk], memory: null })
    await guests.deleteDisk(disk)
    assert.deepEqual([await textOf(guests, ofDisk), await textOf(guests, ofSnapshot)], ['changed', 'then'])
  })

onBoth('a disk goes back to a snapshot as often as asked, and links within it stay links', sandboxRefused(), async (guests) => {
  const disk = await written(guests, 'disk', 'then')
  await link(join(guests.folder(disk), 'file'), join(guests.folder(disk), 'other'))
  await guests.snapshot({ vmid: 100, running: false, name: 's1', disks: [disk], memory: 'ram' })
  for (const text of ['once', 'twice']) {
    await write(guests, disk, text)
    await guests.rollback(100, 's1', [disk])
    assert.equal(await textOf(guests, disk), 'then')
    assert.equal((await stat(join(guests.folder(disk), 'other'))).nlink, 2)
  }
  await guests.start(bootOf(100, [disk], { memory: 'ram' }))
  await fileOf(join(guests.folder(disk), 'two'))
  await guests.stop(100)
  await guests.deleteSnapshot({ vmid: 100, running: false, name: 's1', disks: [disk], memory: 'ram' })
  await assert.rejects(guests.start(bootOf(100, [disk], { memory: 'ram' })), /no RAM/)
  await assert.rejects(guests.rollback(100, 's1', [disk]))
})

onBoth('a snapshot of a running guest is of one moment on all disks, and the guest goes on', sandboxRefused(), async (guests) => {
  const [disk, second] = [await written(guests, 'disk', 'x'), await written(guests, 'second', 'y')]
  await guests.start(bootOf(100, [disk, second]))
  const [one, two] = [join(guests.folder(disk), 'one'), join(guests.folder(disk), 'two')]
  await fileOf(two)
  for (let round = 0; round < 10; round++) {
    const name = `s${round}`
    await guests.snapshot({ vmid: 100, running: true, name, disks: [disk, second], memory: null })
    const copy = diskOf(name)
    await guests.cloneDisk(disk, name, copy, 'linked')
    const [first, next] = await Promise.all(['one', 'two'].map((file) => readFile(join(guests.folder(copy), file), 'utf8')))
    // Truncated, or written and the other not yet: what a power cut would show as well.
    if (first !== '' && next !== '') assert.ok(Number(first) - Number(next) <= 1 && Number(first) >= Number(next), `${first} ${next}`)
    const until = Number(await fileOf(two))
    await fileOf(one, (text) => Number(text) > until)
  }
})

test('subvolumes that a guest makes on its disk are in clones and snapshots, sealed ones sealed', async (t) => {
  if (typeof btrfs === 'string') return t.skip(btrfs)
  const guests = await SandboxGuests.open({ root: join(btrfs.folder, 'nested'), command })
  t.after(() => guests.close())
  const disk = await written(guests, 'disk', 'x')
  const at = (of: Disk, ...path: string[]): string => join(guests.folder(of), ...path)
  execFileSync('btrfs', ['-q', 'subvolume', 'create', at(disk, 'tree')])
  execFileSync('btrfs', ['-q', 'subvolume', 'create', at(disk, 'tree', 'inner')])
  await writeFile(at(disk, 'tree', 'inner', 'file'), 'inside')
  execFileSync('btrfs', ['-q', 'subvolume', 'snapshot', '-r', at(disk, 'tree', 'inner'), at(disk, 'sealed')])
  await guests.snapshot({ vmid: 100, running: false, name: 's1', disks: [disk], memory: null })
  const copy = diskOf('copy')
  await guests.cloneDisk(disk, 's1', copy, 'linked')
  assert.equal(await readFile(at(copy, 'tree', 'inner', 'file'), 'utf8'), 'inside')
  await writeFile(at(copy, 'tree', 'inner', 'file'), 'changed')
  assert.equal(await readFile(at(copy, 'sealed', 'file'), 'utf8'), 'inside')
  await assert.rejects(writeFile(at(copy, 'sealed', 'file'), 'changed'), { code: 'EROFS' })
  await guests.rollback(100, 's1', [disk])
  assert.equal(await readFile(at(disk, 'tree', 'inner', 'file'), 'utf8'), 'inside')
  await guests.deleteDisk(copy)
  assert.equal(existsSync(guests.folder(copy)), false)
})
