import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, constants, copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** An id that belongs to nobody on usual hosts (below the range of nobody and of container users). */
const ORDINARY_ID = '61234'
/** All of the strongest form, and of the weaker one what differs for those who are not root. */
const ORDINARY_CASES = 'local I2\\+C3|local I2\\+C1 what an agent locks away|a machine in a sandbox'
/** A pattern that meets nothing would pass everything. */
const LEAST_PASSED = 22
const FILES = ['local.test.ts', 'isolation.test.ts'].map((file) => fileURLToPath(new URL(file, import.meta.url)))
const root = process.getuid?.() === 0

test('the suite also holds for an ordinary user', { skip: root ? false : 'this is an ordinary user' }, (t) => {
  const room = openRoomWithNode()
  t.after(() => rmSync(room, { recursive: true }))
  const asUser = (...args: string[]) =>
    spawnSync('setpriv', ['--reuid', ORDINARY_ID, '--regid', ORDINARY_ID, '--clear-groups', '--no-new-privs', join(room, 'node'), ...args], {
      env: { PATH: process.env['PATH'], HOME: '/nonexistent', TMPDIR: '/tmp' },
      encoding: 'utf8',
      maxBuffer: 1 << 24,
    })
  const reach = asUser('--input-type=module', '--eval', `await import(${JSON.stringify(new URL('test-ground.ts', import.meta.url).href)})`)
  if (/EACCES|permission denied/.test(reach.stderr)) return t.skip(`an ordinary user cannot read this checkout: ${reach.stderr}`)
  assert.equal(reach.status, 0, reach.stderr)

  const ran = asUser('--test', '--test-reporter=spec', '--test-name-pattern', ORDINARY_CASES, ...FILES)
  assert.equal(ran.status, 0, ran.stdout.slice(-8000) + ran.stderr.slice(-2000))
  const passed = Number(/^ℹ pass (\d+)$/m.exec(ran.stdout)?.[1] ?? 0)
  assert.ok(passed >= LEAST_PASSED, `only ${passed} cases ran:\n${ran.stdout.slice(0, 4000)}`)
  t.diagnostic(`${passed} cases passed as an ordinary user`)
})

/** This Node may lie in root's own home, which nobody else may enter. */
function openRoomWithNode(): string {
  const room = mkdtempSync('/tmp/avtest-node-')
  chmodSync(room, 0o755)
  copyFileSync(process.execPath, join(room, 'node'), constants.COPYFILE_FICLONE)
  chmodSync(join(room, 'node'), 0o755)
  return room
}
