/** The parts of the launcher on real processes and real folders; fetching from a registry is left to the first start on a new machine. */
import { deepEqual, equal, match, rejects, throws } from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { findCacheDir } from './cache-dir.cjs'
import { fetchedNode } from './node24.cjs'
import { explain } from './npm.cjs'
import { installPackages, matches, packagesAreInstalled } from './packages.cjs'
import { taking } from './turns.cjs'

const folder = mkdtempSync(join(tmpdir(), 'autovibe-launcher-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const scripts = import.meta.dirname

test('eight processes that want the same lock take turns', async () => {
  const lock = join(folder, 'turns.lock')
  const counter = join(folder, 'counter')
  writeFileSync(counter, '0')
  const work = `require(${JSON.stringify(join(scripts, 'turns.cjs'))}).taking(${JSON.stringify(lock)}, async () => {
    const fs = require('node:fs'), before = Number(fs.readFileSync(${JSON.stringify(counter)}, 'utf8'))
    await new Promise(setImmediate)
    fs.writeFileSync(${JSON.stringify(counter)}, String(before + 1))
  })`
  const ends = await Promise.all(Array.from({ length: 8 }, () => end(spawn(process.execPath, ['-e', work], { stdio: 'ignore' }))))
  deepEqual(new Set(ends.map(({ code }) => code)), new Set([0]))
  equal(readFileSync(counter, 'utf8'), '8')
  equal(existsSync(lock), false)
})

test('the lock of a process that was killed is taken over', async () => {
  const lock = join(folder, 'dead.lock')
  const work = `require(${JSON.stringify(join(scripts, 'turns.cjs'))}).taking(${JSON.stringify(lock)}, () => process.kill(process.pid, 'SIGKILL'))`
  equal((await end(spawn(process.execPath, ['-e', work]))).signal, 'SIGKILL')
  equal(existsSync(lock), true)
  equal(await taking(lock, () => 'mine'), 'mine')
  equal(existsSync(lock), false)
})

test('a lock is free again after its work failed', async () => {
  const lock = join(folder, 'failed.lock')
  await rejects(
    taking(lock, () => Promise.reject(new Error('no luck'))),
    /no luck/,
  )
  equal(await taking(lock, () => 'again'), 'again')
})

test('installed packages match a lockfile only when each one for this platform is there', () => {
  const wanted = { '': {}, 'node_modules/a': { version: '1.0.0', integrity: 'x' }, 'node_modules/b': { version: '1.0.0', optional: true, os: ['nowhere'] } }
  const here = { version: '2.0.0', optional: true, os: [process.platform], cpu: [process.arch] }
  const check = (lock: object, installed: object) => matches(JSON.stringify({ packages: lock }), JSON.stringify({ packages: installed }))
  const a = { 'node_modules/a': { version: '1.0.0', integrity: 'x' } }
  equal(check(wanted, a), true)
  equal(check(wanted, {}), false)
  equal(check(wanted, { 'node_modules/a': { version: '1.0.1', integrity: 'x' } }), false)
  equal(check(wanted, { 'node_modules/a': { version: '1.0.0', integrity: 'y' } }), false)
  equal(check(wanted, { ...a, 'node_modules/left-over': { version: '1.0.0' } }), false)
  equal(check({ ...wanted, 'node_modules/here': here }, a), false)
  equal(check({ ...wanted, 'node_modules/here': here }, { ...a, 'node_modules/here': here }), true)
  equal(matches(JSON.stringify({ packages: wanted }), '{ half'), false)
})

test('packages that npm installed by hand are adopted, and any change afterwards is noticed', async () => {
  const root = join(folder, 'checkout')
  mkdirSync(join(root, 'node_modules'), { recursive: true })
  const record = JSON.stringify({ packages: { 'node_modules/a': { version: '1.0.0' } } })
  writeFileSync(join(root, 'package-lock.json'), record)
  writeFileSync(join(root, 'node_modules/.package-lock.json'), record)
  equal(packagesAreInstalled(root), false)
  await installPackages(root, process.execPath)
  equal(packagesAreInstalled(root), true)
  writeFileSync(join(root, 'node_modules/.package-lock.json'), record.replace('1.0.0', '1.0.1'))
  equal(packagesAreInstalled(root), false)
  rmSync(join(root, 'package-lock.json'))
  await rejects(installPackages(root, process.execPath), { fix: 'git checkout -- package-lock.json' })
})

test('a cache folder that was named is never passed over in silence', () => {
  const file = join(folder, 'a-file')
  writeFileSync(file, '')
  throws(() => findCacheDir(folder, { AUTOVIBE_CACHE_DIR: file }), /cannot be written/)
  equal(findCacheDir(folder, { AUTOVIBE_CACHE_DIR: join(folder, 'named') }), join(folder, 'named', 'autovibe'))
})

test('without a usable home the cache lies in the checkout', () => {
  const inside = join(folder, '.autovibe', 'cache')
  for (const home of ['', 'relative', '/proc/nobody', join(folder, 'missing')]) equal(findCacheDir(folder, { HOME: home }), inside)
  equal(existsSync(join(folder, 'missing')), false)
})

test('a platform without a package for Node 24 is told so', async () => {
  await rejects(fetchedNode(folder, 'plan9-mips'), { fix: /install Node 24/ })
})

test('each way npm fails has its own fix, and only an unreachable registry is worth another try', () => {
  const fixes = ['ENOENT npm', 'code ENOSPC', 'EINTEGRITY', 'SELF_SIGNED_CERT_IN_CHAIN', 'ECONNREFUSED', 'E401', 'E404', 'EACCES', 'what is this'].map((text) =>
    explain('x', text),
  )
  equal(new Set(fixes.map((error) => error.fix)).size, fixes.length)
  deepEqual(
    fixes.map((error) => error.exitCode),
    [1, 1, 1, 1, 3, 1, 1, 1, 1],
  )
})

for (const way of ['in the same process', 'by execve', 'as a child'] as const) {
  test(`the exit code, arguments and environment pass through a hand-over ${way}`, async () => {
    const process_ = handOver(
      way,
      'process.stdout.write(JSON.stringify([process.argv.slice(2), process.env.NODE_EXTRA_CA_CERTS, process.env.AUTOVIBE_EXTRA_CA_CERTS])); process.exitCode = 7',
    )
    let output = ''
    process_.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()))
    deepEqual(await end(process_), { code: 7, signal: null })
    deepEqual(JSON.parse(output), [['--flag', 'a b'], null, '/dev/null'])
  })

  test(`a signal reaches the program after a hand-over ${way}`, async () => {
    const process_ = handOver(way, "process.on('SIGTERM', () => process.exit(9)); setInterval(() => {}, 1e6); process.stdout.write('ready')")
    if (process_.stdout) match(String((await once(process_.stdout, 'data'))[0]), /ready/)
    process_.kill('SIGTERM')
    deepEqual(await end(process_), { code: 9, signal: null })
  })

  test(`death by a signal is passed on after a hand-over ${way}`, async () => {
    deepEqual(await end(handOver(way, "process.kill(process.pid, 'SIGKILL')")), { code: null, signal: 'SIGKILL' })
  })
}

function handOver(way: 'in the same process' | 'by execve' | 'as a child', program: string): ChildProcess {
  const file = join(mkdtempSync(join(folder, 'program-')), 'main.mts')
  writeFileSync(file, `${program}\n`)
  const other = join(folder, 'another-node')
  if (!existsSync(other)) symlinkSync(process.execPath, other)
  const node = way === 'in the same process' ? process.execPath : other
  const source = `${way === 'as a child' ? 'delete process.execve;' : ''}
    require(${JSON.stringify(join(scripts, 'hand-over.cjs'))}).handOver(${JSON.stringify(node)}, ${JSON.stringify(file)}, ['--flag', 'a b'], ${JSON.stringify(folder)})`
  return spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, NODE_EXTRA_CA_CERTS: '/dev/null' } })
}

async function end(child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code, signal }
}
