import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { listProcesses } from '../../packages/hub/substrates/local/processes.ts'
import { until } from '../support/until.ts'
import type { Boot, Disk } from './guests.ts'
import { bootOf, diskOf, fileOf, ranBy, sandboxRefused } from './guests-stage.ts'
import { SandboxGuests } from './sandbox-guests.ts'

/** Writes what it sees of its VM, then counts on its disk until it is told to end. */
const COUNTS = `
cd /var/lib/autovibe
cat /sys/class/dmi/id/product_serial > serial; uname -n > hostname; cat /proc/sys/kernel/random/boot_id >> boots
trap 'echo bye >> end; exit 0' TERM
n=0
while :; do n=$((n + 1)); echo $n > count.new; mv count.new count; sleep 0.01 & wait $!; done`
const sh = (script: string) => () => ['/bin/sh', '-c', script]

async function opened(t: TestContext, command: (boot: Boot) => readonly string[] = sh(COUNTS)): Promise<SandboxGuests> {
  const guests = await SandboxGuests.open({ root: join(room, `${rooms++}`), command })
  t.after(() => guests.close())
  return guests
}
const skip = sandboxRefused()
let room = ''
let rooms = 0
before(async () => {
  room = await mkdtemp(join(tmpdir(), 'sbx-'))
})
after(async () => {
  assert.deepEqual(await readdir(room), [], 'no folder is left')
  await rmdir(room)
  assert.deepEqual(
    listProcesses().filter((each) => each.parent === process.pid),
    [],
    'no process is left',
  )
  assert.equal((await readFile('/proc/self/mountinfo', 'utf8')).includes(room), false, 'nothing is mounted')
})

async function started(guests: SandboxGuests, vmid: number, more: Partial<Boot> = {}): Promise<Disk> {
  const disk = diskOf(`disk-${vmid}`)
  await guests.createDisk(disk, { kind: 'empty' })
  await guests.start(bootOf(vmid, [disk], more))
  await fileOf(join(guests.folder(disk), 'count'))
  return disk
}
const countOf = async (guests: SandboxGuests, disk: Disk): Promise<number> => Number(await fileOf(join(guests.folder(disk), 'count')))
const isCounting = async (guests: SandboxGuests, disk: Disk): Promise<void> => {
  const from = await countOf(guests, disk)
  await fileOf(join(guests.folder(disk), 'count'), (text) => Number(text) > from)
}

test('a guest sees its serial number, its name and its disk, and nothing of the host that it could change', { skip }, async (t) => {
  const guests = await opened(t)
  const serial = 'v1 127.0.0.1:8443 secret'
  const smbios1 = `uuid=0f1e,serial=${Buffer.from(serial).toString('base64')},base64=1`
  const disk = await started(guests, 100, { config: { smbios1 }, name: 'a machine' })
  const folder = guests.folder(disk)
  assert.equal(await readFile(join(folder, 'serial'), 'utf8'), `${serial}\n`)
  assert.equal(await readFile(join(folder, 'hostname'), 'utf8'), 'a-machine\n')
  const agent = guests.agent(100)
  for (const path of ['/usr/x', '/etc/x', `${import.meta.dirname}/x`]) assert.match((await ranBy(agent, ['/bin/touch', path])).errors, /Read-only file system/)
  assert.equal((await ranBy(agent, [process.execPath, '-p', '1 + 1'])).out, '2\n')
  assert.equal(existsSync('/run/of-the-guest'), false)
  assert.equal((await ranBy(agent, ['/bin/touch', '/run/of-the-guest', '/tmp/of-the-guest'])).exitcode, 0)
  assert.equal(existsSync('/run/of-the-guest'), false)
  assert.match((await ranBy(agent, ['/bin/sh', '-c', 'for p in /proc/[0-9]*; do echo $p; done | wc -l'])).out, /^\d\n$/, 'only its own processes')
})

test('a stop ends all at once, a shutdown lets the command end, a reset is another boot of the same disk', { skip }, async (t) => {
  const guests = await opened(t)
  const told: number[] = []
  guests.onEnded((vmid) => told.push(vmid))
  const disk = await started(guests, 100)
  const end = join(guests.folder(disk), 'end')
  await guests.reset(100)
  assert.equal(
    new Set((await fileOf(join(guests.folder(disk), 'boots'), (text) => text.split('\n').length === 3)).split('\n')).size,
    3,
    'each boot has its own id',
  )
  await isCounting(guests, disk)
  await guests.stop(100)
  assert.deepEqual([existsSync(end), guests.agent(100), told], [false, null, []])
  await guests.stop(100)
  await guests.start(bootOf(100, [disk]))
  await isCounting(guests, disk)
  await guests.shutdown(100)
  await until('the guest has ended by itself', 60_000, async () => told.length === 1 || undefined)
  assert.equal(await readFile(end, 'utf8'), 'bye\n')
  assert.deepEqual([told, guests.running.size], [[100], 0])
})

test('a stop takes along what has left its parent, its session and its signals', { skip }, async (t) => {
  const guests = await opened(t, sh(`trap '' TERM HUP; setsid sh -c 'trap "" TERM HUP; while :; do sleep 1; done' & ${COUNTS}`))
  await started(guests, 100)
  const inside = guests.running.get(100)?.sandbox.processes() ?? []
  assert.ok(inside.length >= 4)
  await guests.stop(100)
  const left = new Set(listProcesses().map(({ pid, startTicks }) => `${pid} ${startTicks}`))
  assert.deepEqual(
    inside.filter(({ pid, startTicks }) => left.has(`${pid} ${startTicks}`)),
    [],
  )
})

test('a paused guest stands still with all that runs in it, and goes on', { skip }, async (t) => {
  const guests = await opened(t)
  const disk = await started(guests, 100)
  const agent = guests.agent(100)
  assert.ok(agent)
  const { pid } = (await agent.execute('guest-exec', { path: '/bin/sleep', arg: ['1000'] })) as { pid: number }
  await guests.pause(100)
  assert.equal(guests.agent(100), null)
  const states =
    guests.running
      .get(100)
      ?.sandbox.processes()
      .map(({ state }) => state) ?? []
  assert.ok(states.length >= 4)
  assert.deepEqual(new Set(states), new Set(['T']))
  await guests.resume(100)
  await isCounting(guests, disk)
  assert.deepEqual(await guests.agent(100)?.execute('guest-exec-status', { pid }), { exited: false })
  await guests.pause(100)
  await guests.stop(100)
  assert.equal(guests.running.size, 0)
})

test('what a guest uses is that of its processes and grows', { skip }, async (t) => {
  const guests = await opened(t)
  await started(guests, 100)
  const usage = await until('processor time', 60_000, async () => {
    const now = guests.usage(100)
    return now.cpuSeconds > 0 && now.memoryBytes > 1_000_000 ? now : undefined
  })
  await guests.reset(100)
  await until('more processor time, over the reset', 60_000, async () => guests.usage(100).cpuSeconds > usage.cpuSeconds || undefined)
  await guests.stop(100)
  assert.equal(guests.usage(100).cpuSeconds, 0)
})

test('a start whose command cannot run, or whose RAM was never kept, fails and leaves nothing', { skip }, async (t) => {
  const guests = await opened(t)
  await assert.rejects(guests.start(bootOf(100, [diskOf('never-made')])), /bwrap ended with 1 before/)
  await assert.rejects(guests.start(bootOf(100, [], { memory: 'nobody’s' })), /no RAM/)
  assert.equal(guests.running.size, 0)
  await assert.rejects(guests.reset(100), /does not run/)
})

test('a command that ends at once is a guest that has ended', { skip }, async (t) => {
  const guests = await opened(t, () => ['/bin/false'])
  const { promise, resolve } = Promise.withResolvers<number>()
  guests.onEnded(resolve)
  await guests.start(bootOf(100, []))
  assert.equal(await promise, 100)
  assert.equal(guests.running.size, 0)
})

test('the guest agent does inside what QEMU’s does', { skip }, async (t) => {
  const guests = await opened(t)
  const disk = await started(guests, 100)
  const agent = guests.agent(100)
  assert.ok(agent)
  assert.deepEqual(await agent.execute('guest-ping', {}), {})
  assert.deepEqual(await agent.execute('guest-get-host-name', {}), { 'host-name': 'vm-100' })
  assert.deepEqual(
    ((await agent.execute('guest-network-get-interfaces', {})) as { name: string }[]).map(({ name }) => name),
    ['lo', 'eth0'],
  )
  assert.equal(typeof (await agent.execute('guest-get-time', {})), 'number')
  assert.deepEqual(await ranBy(agent, ['/bin/sh', '-c', 'cat; echo oops >&2; exit 3'], 'said'), {
    exited: true,
    exitcode: 3,
    'out-data': 'c2FpZA==',
    'err-data': 'b29wcwo=',
    out: 'said',
    errors: 'oops\n',
  })
  assert.equal((await ranBy(agent, ['/bin/sh', '-c', 'kill -9 $$'])).signal, 9)
  await assert.rejects(agent.execute('guest-exec-status', { pid: 1 }), /Invalid parameter 'pid'/)
  await assert.rejects(agent.execute('guest-suspend-ram', {}), /guest-suspend-ram has not been found/)

  const written = { path: '/var/lib/autovibe/file', mode: 'w' }
  const out = await agent.execute('guest-file-open', written)
  for (const text of ['one ', 'two']) await agent.execute('guest-file-write', { handle: out, 'buf-b64': Buffer.from(text).toString('base64') })
  await agent.execute('guest-file-close', { handle: out })
  assert.equal(await readFile(join(guests.folder(disk), 'file'), 'utf8'), 'one two')
  const handle = await agent.execute('guest-file-open', { path: written.path, mode: 'r' })
  await agent.execute('guest-file-seek', { handle, offset: 1, whence: 'set' })
  assert.deepEqual(await agent.execute('guest-file-read', { handle, count: 2 }), { 'buf-b64': 'bmU=', count: 2, eof: false })
  assert.deepEqual(await agent.execute('guest-file-read', { handle, count: 99 }), { 'buf-b64': 'IHR3bw==', count: 4, eof: true })
  await assert.rejects(agent.execute('guest-file-open', { path: '/nowhere/x', mode: 'r' }), /failed to open file '\/nowhere\/x'.*No such file/)
  await symlink(`${room}/secret`, join(guests.folder(disk), 'link'))
  await writeFile(`${room}/secret`, 'of the host')
  t.after(async () => rm(`${room}/secret`))
  await assert.rejects(agent.execute('guest-file-open', { path: '/var/lib/autovibe/link', mode: 'r' }), /No such file/, 'a link leads nowhere but in the guest')

  assert.equal(await agent.execute('guest-fsfreeze-freeze', {}), 1)
  assert.equal(await agent.execute('guest-fsfreeze-status', {}), 'frozen')
  await assert.rejects(agent.execute('guest-exec', { path: '/bin/true' }), /has been disabled/)
  assert.equal(await agent.execute('guest-fsfreeze-thaw', {}), 1)
  assert.equal(await agent.execute('guest-fsfreeze-status', {}), 'thawed')
  guests.silent.add(100)
  assert.equal(guests.agent(100), null)
  guests.silent.delete(100)
  await guests.agent(100)?.execute('guest-shutdown', {})
  await until('the guest has ended', 60_000, async () => guests.running.size === 0 || undefined)
})

test('a file is the content of a new disk, and a deleted disk is gone, also one that never was', { skip }, async (t) => {
  const guests = await opened(t)
  const disk = diskOf('imported')
  await mkdir(join(room, 'in'))
  await writeFile(join(room, 'in', 'image'), 'image')
  t.after(async () => rm(join(room, 'in'), { recursive: true }))
  await guests.createDisk(disk, { kind: 'file', path: join(room, 'in', 'image') })
  assert.equal(await readFile(join(guests.folder(disk), 'image'), 'utf8'), 'image')
  await guests.deleteDisk(disk)
  await guests.deleteDisk(diskOf('never-was'))
  assert.equal(existsSync(guests.folder(disk)), false)
})
