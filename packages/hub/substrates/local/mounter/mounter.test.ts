/** The process that mounts: what it swaps, what it leaves alone because somebody has something open there, and what it says when it cannot. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { reasonAgainst } from '../test-tiers.ts'
import { Mounter } from './mounter.ts'

/** A machine's namespace with a tree on layer `a`, and inside of it another one, as a sandbox is, that opens what it is told to. */
const HOLDER = `
mount -n --bind --make-shared root root
mount -n -t overlay -o nosuid,nodev,lowerdir=empty,upperdir=a,workdir=a-work,"$1" a "root/odd % tree" || exit 1
echo first >"root/odd % tree/file"
unshare -m --propagation slave sh -c '
  while read -r what; do
    case $what in open) exec 3<"root/odd % tree/file";; close) exec 3<&-;; esac
    echo $what
  done'`

const own = process.getuid?.() === 0 ? 'redirect_dir=nofollow' : 'userxattr'
const skip = (await reasonAgainst({ copy: 'C3' })) ?? false

describe('the mounter', { skip }, () => {
  const mounter = new Mounter(process.getuid?.() === 0)
  let folder: string
  let holder: ChildProcess
  let said: AsyncIterator<Buffer>
  const tell = async (what: string): Promise<void> => {
    holder.stdin?.write(`${what}\n`)
    assert.equal(String((await said.next()).value), `${what}\n`)
  }
  const tree = () => join(folder, 'root', 'odd % tree')
  const upper = () => / - overlay (\w+) /.exec(readFileSync(`/proc/${holder.pid}/mountinfo`, 'utf8'))?.[1]
  const swapTo = (layer: string, stack: string) =>
    mounter.in(holder.pid ?? 0, tree(), {
      act: 'swap',
      layers: folder,
      upper: layer,
      options: `lowerdir=${stack},upperdir=${layer},workdir=${layer}-work,${own}`,
    })

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'av-mounter-'))
    for (const name of ['empty', 'a', 'a-work', 'b', 'b-work', 'root/odd % tree']) await mkdir(join(folder, name), { recursive: true })
    const user = process.getuid?.() === 0 ? [] : ['-U', '-r']
    holder = spawn('unshare', [...user, '-m', '--propagation', 'private', 'sh', '-c', HOLDER, 'sh', own], { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] })
    said = (holder.stdout as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
    await tell('ready')
  })
  after(async () => {
    const ended = new Promise((resolve) => holder.once('close', resolve))
    holder.stdin?.end()
    await ended
    mounter.close()
    await rm(folder, { recursive: true })
  })

  test('a tree of which a sandbox has something open is left as it is, and is swapped when that is closed', async () => {
    await tell('open')
    assert.equal(await swapTo('b', 'a:empty'), 'busy')
    assert.equal(upper(), 'a')
    await tell('close')
    assert.equal(await swapTo('b', 'a:empty'), 'done')
    assert.equal(upper(), 'b')
  })

  test('when the new layer cannot be mounted, the tree is back in its place', async () => {
    const before = upper()
    await assert.rejects(swapTo('nowhere', 'a:empty'), { code: 'substrate.failed', internal: /mounting the machine's tree: No such file or directory *$/ })
    assert.equal(upper(), before)
    await tell('open')
    await tell('close')
  })

  test('several orders at once are each answered', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, at) => mounter.in(holder.pid ?? 0, tree(), { act: at % 2 === 0 ? 'read-only' : 'writable' })),
    )
    assert.deepEqual(new Set(answers), new Set(['done']))
    await mounter.in(holder.pid ?? 0, tree(), { act: 'writable' })
  })

  test('what the kernel refuses is said, and the next order is carried out all the same', async () => {
    await assert.rejects(mounter.in(holder.pid ?? 0, join(folder, 'nowhere'), { act: 'read-only' }), { code: 'substrate.failed', internal: /No such file/ })
    await assert.rejects(mounter.in(2 ** 22 + 1, tree(), { act: 'read-only' }), { code: 'substrate.failed', internal: /namespace: No such file/ })
    assert.equal(await mounter.in(holder.pid ?? 0, tree(), { act: 'writable' }), 'done')
  })

  test('one that was ended is started again', async () => {
    const other = new Mounter(process.getuid?.() === 0)
    assert.equal(await other.in(holder.pid ?? 0, tree(), { act: 'writable' }), 'done')
    other.close()
    assert.equal(await other.in(holder.pid ?? 0, tree(), { act: 'writable' }), 'done')
    other.close()
  })
})
