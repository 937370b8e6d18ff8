/** Frozen trees against a plain look at the folder, on this host's disk as copies, and on btrfs as snapshots where one can be made. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { linkSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import type { CheckpointId } from '@autovibe/contract'
import { AWKWARD, FORGED, randomWork, SECOND } from '../../hub/substrates/conformance-work.ts'
import { mountBtrfs } from '../../hub/substrates/local/test-filesystem.ts'
import { type Account, accountAfter, accountOf, never, newCheckpoint, openTrees, QUICK, recordsOf, type TestTrees } from './testing/ground.ts'

const EMPTY: Account = new Map()
const isRoot = process.getuid?.() === 0
const btrfs = await mountBtrfs()

for (const kind of ['copy', 'snapshot'] as const) {
  const skip = kind === 'snapshot' && typeof btrfs === 'string' ? btrfs : false
  suite(`trees frozen as ${kind === 'copy' ? 'copies' : 'snapshots'}`, { skip }, () => {
    const parent = kind === 'snapshot' && typeof btrfs !== 'string' ? btrfs.folder : QUICK

    const place = async (t: { after(close: () => Promise<void>): void }): Promise<TestTrees> => {
      const ground = await openTrees({ parent, onlyCopies: kind === 'copy' })
      t.after(() => ground.close())
      assert.equal(ground.trees.kind, kind)
      await ground.trees.plant(null)
      return ground
    }

    async function frozen(ground: TestTrees): Promise<CheckpointId> {
      const id = newCheckpoint()
      assert.equal(await ground.trees.freeze(id, never), 'consistent')
      return id
    }
    const told = (ground: TestTrees, id: CheckpointId, since: CheckpointId | null, before: Account) =>
      accountAfter(before, ground.trees.changes(id, since, never))

    test('hold awkward and forged trees, and tell what lies between any two', async (t) => {
      const ground = await place(t)
      const scenes: Account[] = []
      const ids: CheckpointId[] = []
      for (const scene of [AWKWARD, SECOND, FORGED]) {
        ground.shell(scene)
        scenes.push(accountOf(ground.tree))
        ids.push(await frozen(ground))
      }
      for (const [at, id] of ids.entries()) {
        assert.deepEqual((await told(ground, id, null, EMPTY)).account, scenes[at])
        for (const [since, earlier] of ids.entries()) assert.deepEqual((await told(ground, id, earlier, scenes[since] ?? EMPTY)).account, scenes[at])
        assert.deepEqual((await told(ground, id, id, scenes[at] ?? EMPTY)).told, [])
      }
    })

    test('hold random work in many rounds, and go back to any of it', async (t) => {
      const ground = await place(t)
      const rounds: { readonly id: CheckpointId; readonly scene: Account }[] = []
      for (let seed = 1; seed <= 12; seed++) {
        ground.shell(randomWork(seed * (kind === 'copy' ? 1 : 7)))
        const scene = accountOf(ground.tree)
        const last = rounds.at(-1)
        const id = await frozen(ground)
        assert.deepEqual((await told(ground, id, last?.id ?? null, last?.scene ?? EMPTY)).account, scene, `seed ${seed}`)
        rounds.push({ id, scene })
        // What is thawed between must not matter to what stays.
        if (seed % 4 === 3) await ground.trees.thaw(rounds.splice(-2, 1)[0]?.id ?? id)
        if (seed % 5 === 4) {
          const back = rounds[seed % rounds.length]
          assert.ok(back)
          await ground.trees.rollBack(back.id, never)
          assert.deepEqual(accountOf(ground.tree), back.scene, `back after seed ${seed}`)
        }
      }
      for (const { id, scene } of rounds) assert.deepEqual((await told(ground, id, null, EMPTY)).account, scene)
    })

    test('tell no more than what differs', async (t) => {
      const ground = await place(t)
      ground.shell('mkdir -p project/a/b; for i in 1 2 3 4 5; do echo $i >project/a/b/$i; done; echo s >project/same; touch -d @1000000000 project/same')
      const first = await frozen(ground)
      ground.shell('echo changed >project/a/b/3; echo s >project/same; touch -d @1000000000 project/same; rm project/a/b/5; mkfifo project/pipe')
      const second = await frozen(ground)
      const { told } = await accountAfter(accountOf(ground.tree).set('project/a/b/5', 'file'), ground.trees.changes(second, first, never))
      assert.deepEqual(told.sort(), ['-project/a/b/5', 'project/a/b/3'])
    })

    test('find a file that was changed right after a freeze, with its size and time set back', async (t) => {
      const ground = await place(t)
      const path = join(ground.tree, 'project/racy')
      writeFileSync(path, 'before')
      ground.shell('touch -d @1000000000 project/racy')
      let last = await frozen(ground)
      for (let round = 0; round < 8; round++) {
        const before = accountOf(ground.tree)
        ground.shell(`printf 'round%s' ${round} >project/racy; touch -d @1000000000 project/racy`)
        const next = await frozen(ground)
        assert.deepEqual((await told(ground, next, last, before)).account, accountOf(ground.tree))
        last = next
      }
    })

    test('keep holes, further names and the rights of what is locked', { skip: isRoot ? false : 'a file of mode 0 is read by root alone' }, async (t) => {
      const ground = await place(t)
      ground.shell(`cd project; truncate -s 64M sparse; printf end >>sparse; printf x >one; mkdir deep; ln one two; ln one deep/three; printf s >locked; mkdir shut
        printf in >shut/file; chmod 0 locked shut; printf u >setuid; chmod 4755 setuid; ln -s gone link; touch -h -d @1234567890.123456 link; touch -d @-5.25 one`)
      const scene = accountOf(ground.tree)
      const id = await frozen(ground)
      ground.shell('rm -r project')
      await ground.trees.rollBack(id, never)
      assert.deepEqual(accountOf(ground.tree), scene)
      const [sparse, one, three] = ['sparse', 'one', 'deep/three'].map((name) => statSync(join(ground.tree, 'project', name)))
      assert.ok(sparse && one && three)
      assert.ok(sparse.blocks * 512 < 1024 * 1024, `${sparse.blocks} blocks`)
      assert.deepEqual([one.ino, one.nlink], [three.ino, 3])
      assert.equal(Math.floor(lstatSync(join(ground.tree, 'project/link')).mtimeMs * 1000), 1234567890123456)
    })

    test('reach as deep as a path can be, and say so beyond', async (t) => {
      const ground = await place(t)
      // Made step by step, as an agent can: no call ever sees the whole path.
      const steps = 'i=0; while [ $i -lt 16 ]; do n=$(printf "%0250d" $i); mkdir $n; cd $n; i=$((i+1)); done'
      ground.shell(`cd project; ${steps}; echo deep >file`)
      const id = await frozen(ground)
      const deepest = (await recordsOf(ground.trees.changes(id, null, never))).map(({ change }) => (change.kind === 'put' ? change.path.length : 0))
      assert.equal(Math.max(...deepest), 'project'.length + 16 * 251 + '/file'.length)
      await ground.trees.rollBack(id, never)
      const again = await frozen(ground)
      assert.deepEqual((await told(ground, again, id, EMPTY)).told, [])
      ground.shell(`cd project; ${steps}`.replaceAll('cd $n', 'cd $n; mkdir -p $n; cd $n'))
      const tooDeep = newCheckpoint()
      await assert.rejects(async () => {
        await ground.trees.freeze(tooDeep, never)
        await told(ground, tooDeep, null, EMPTY)
      }, /longer than the kernel can open/)
      ground.shell('rm -r project; mkdir project')
      await frozen(ground)
    })

    test('never lead out of the tree, whatever is renamed and linked meanwhile', async (t) => {
      const ground = await place(t)
      const outside = await mkdtemp(join(tmpdir(), 'avoutside-'))
      t.after(() => rm(outside, { recursive: true, force: true }))
      mkdirSync(join(outside, 'sub'))
      for (const name of ['file', 'sub/file']) writeFileSync(join(outside, name), 'OUTSIDE')
      ground.shell(
        'cd project; for d in a b c; do mkdir -p $d/sub; for i in $(seq 100); do echo inside >$d/file$i; done; echo inside >$d/file; echo inside >$d/sub/file; done',
      )
      const storm = spawn(process.execPath, ['-e', STORM, join(ground.tree, 'project'), outside], { stdio: ['pipe', 'pipe', 'inherit'] })
      t.after(() => storm.kill('SIGKILL'))
      await once(storm.stdout, 'data')
      const ids: CheckpointId[] = []
      for (let round = 0; round < 12; round++) {
        const id = newCheckpoint()
        await ground.trees.freeze(id, never)
        ids.push(id)
      }
      storm.stdin.end()
      const [code] = await once(storm, 'close')
      assert.equal(code, 0)
      for (const [at, id] of ids.entries()) {
        const records = await recordsOf(ground.trees.changes(id, ids[at - 1] ?? null, never))
        assert.equal(records.filter(({ content }) => content.includes('OUTSIDE')).length, 0)
      }
      const last = await frozen(ground)
      assert.deepEqual((await told(ground, last, null, EMPTY)).account, accountOf(ground.tree))
    })

    test('are told to their end though they are thawed meanwhile', async (t) => {
      const ground = await place(t)
      ground.shell('cd project; for d in $(seq 30); do mkdir $d; for i in $(seq 30); do head -c 3000 /dev/zero >$d/$i; done; done')
      const scene = accountOf(ground.tree)
      const id = await frozen(ground)
      const changes = ground.trees.changes(id, null, never)
      const first = await changes.next()
      assert.equal(first.done, false)
      await ground.trees.thaw(id)
      async function* all(): AsyncGenerator<Uint8Array, void> {
        if (first.done !== true) yield first.value
        yield* changes
      }
      assert.deepEqual((await accountAfter(EMPTY, all())).account, scene)
      await ground.trees.settled()
      assert.deepEqual(readdirSync(join(ground.folder, 'frozen')), [])
    })

    test('are there after a crash, and what was half made is not', async (t) => {
      const ground = await place(t)
      ground.shell('echo one >project/file')
      const scene = accountOf(ground.tree)
      const id = await frozen(ground)
      const half = newCheckpoint()
      mkdirSync(join(ground.folder, 'frozen', half))
      writeFileSync(join(ground.folder, 'frozen', half, 'file'), 'half')
      writeFileSync(join(ground.folder, 'frozen', `${half}.records`), 'half')
      mkdirSync(join(ground.folder, 'aside/left'))
      await ground.trees.settled()
      await ground.reopen()
      await ground.trees.settled()
      assert.deepEqual(await ground.trees.frozen(), [id])
      assert.deepEqual(readdirSync(join(ground.folder, 'aside')), [])
      assert.deepEqual(
        readdirSync(join(ground.folder, 'frozen')).filter((name) => name.startsWith(half)),
        [],
      )
      assert.deepEqual((await told(ground, id, null, EMPTY)).account, scene)
      assert.equal(await ground.trees.freeze(half, never), 'consistent')
      assert.deepEqual((await told(ground, half, id, scene)).told, [])
    })
  })
}

/** Renames folders, and puts links to the outside in the place of folders and files, until its input ends. */
const STORM = `
const { renameSync, symlinkSync, unlinkSync } = require('node:fs')
const [folder, outside] = process.argv.slice(1)
process.chdir(folder)
let isOver = false
process.stdin.on('end', () => { isOver = true }).resume()
const names = ['a', 'b', 'c']
let round = 0
const turn = () => {
  for (let i = 0; i < 20; i++) {
    const name = names[round++ % 3]
    renameSync(name, 'away')
    symlinkSync(outside, name)
    unlinkSync(name)
    renameSync('away', name)
    renameSync(name + '/sub', name + '/away')
    symlinkSync(outside + '/sub', name + '/sub')
    unlinkSync(name + '/sub')
    renameSync(name + '/away', name + '/sub')
    renameSync(name + '/file', name + '/away')
    symlinkSync(outside + '/file', name + '/file')
    unlinkSync(name + '/file')
    renameSync(name + '/away', name + '/file')
  }
  if (round === 20) process.stdout.write('begun')
  if (!isOver) setImmediate(turn)
}
turn()
`

suite('copies of a tree', () => {
  test('share with the last one what nobody has touched, and only that', async (t) => {
    const ground = await openTrees({ parent: QUICK, onlyCopies: true })
    t.after(() => ground.close())
    await ground.trees.plant(null)
    ground.shell('cd project; echo same >same; echo new >new; echo moved >moved; ln same linked')
    // As if they had been written long before: what was written just now may be written again within the clock's step.
    const base = newCheckpoint()
    await ground.trees.freeze(base, never)
    const document = join(ground.folder, 'frozen', `${base}.json`)
    const told = JSON.parse(readFileSync(document, 'utf8')) as { begun_ns: string }
    writeFileSync(document, JSON.stringify({ ...told, begun_ns: String(BigInt(told.begun_ns) + 10n ** 10n) }))
    ground.shell('cd project; echo NEW >new; mv moved there')
    const next = newCheckpoint()
    await ground.trees.freeze(next, never)
    const inode = (id: CheckpointId, name: string) => statSync(join(ground.folder, 'frozen', id, 'project', name)).ino
    assert.equal(inode(base, 'same'), inode(next, 'same'))
    assert.equal(inode(next, 'same'), inode(next, 'linked'))
    assert.notEqual(inode(base, 'new'), inode(next, 'new'))
    assert.notEqual(inode(next, 'same'), statSync(join(ground.tree, 'project/same')).ino)
    assert.deepEqual(
      (await accountAfter(accountOf(join(ground.folder, 'frozen', base)), ground.trees.changes(next, base, never))).account,
      accountOf(ground.tree),
    )
  })

  test('are fuzzy where something was seen to change', async (t) => {
    const ground = await openTrees({ parent: QUICK, onlyCopies: true })
    t.after(() => ground.close())
    await ground.trees.plant(null)
    ground.shell('for i in $(seq 3000); do echo $i >project/$i; done')
    symlinkSync('nowhere', join(ground.tree, 'link'))
    linkSync(join(ground.tree, 'project/1'), join(ground.tree, 'one'))
    const busy = spawn('sh', ['-c', 'echo begun; while :; do rm project/2; echo $((i=i+1)) >project/2; done'], {
      cwd: ground.tree,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    t.after(() => busy.kill('SIGKILL'))
    await once(busy.stdout, 'data')
    assert.equal(await ground.trees.freeze(newCheckpoint(), never), 'fuzzy')
    busy.kill('SIGKILL')
    await once(busy, 'close')
    assert.equal(await ground.trees.freeze(newCheckpoint(), never), 'consistent')
  })
})
