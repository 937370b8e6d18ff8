import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** An id that belongs to nobody on usual hosts (below the range of nobody and of container users). */
const ORDINARY_ID = '61234'
/** All of the strongest form, and of the weaker one what differs for those who are not root. */
const ORDINARY_CASES = 'local I2\\+C3|local I2\\+C1 what an agent locks away|a machine in a sandbox'
/** A pattern that meets nothing would pass everything. */
const LEAST_PASSED = 15
const FILES = ['local.test.ts', 'isolation.test.ts'].map((file) => fileURLToPath(new URL(file, import.meta.url)))
const root = process.getuid?.() === 0

test('the suite also holds for an ordinary user', { skip: root ? false : 'this is an ordinary user' }, (t) => {
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent', TMPDIR: '/tmp' }
  const asUser = ['--reuid', ORDINARY_ID, '--regid', ORDINARY_ID, '--clear-groups', '--no-new-privs']
  const reach = spawnSync('setpriv', [...asUser, process.execPath, '--check', ...FILES.slice(0, 1)], { env, encoding: 'utf8' })
  if (reach.status !== 0) return t.skip(`an ordinary user cannot read this checkout: ${reach.stderr}`)
  const ran = spawnSync('setpriv', [...asUser, process.execPath, '--test', '--test-reporter=spec', '--test-name-pattern', ORDINARY_CASES, ...FILES], {
    env,
    encoding: 'utf8',
    maxBuffer: 1 << 24,
  })
  assert.equal(ran.status, 0, ran.stdout.slice(-8000) + ran.stderr.slice(-2000))
  const passed = Number(/^ℹ pass (\d+)$/m.exec(ran.stdout)?.[1] ?? 0)
  assert.ok(passed >= LEAST_PASSED, `only ${passed} cases ran:\n${ran.stdout.slice(0, 4000)}`)
  t.diagnostic(`${passed} cases passed as an ordinary user`)
})
