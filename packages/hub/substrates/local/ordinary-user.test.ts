import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { OrdinaryUser, passedOf } from './test-ordinary-user.ts'

/** All but the bare form, which knows no users. */
const ORDINARY_CASES = 'local I2|local I1|a machine in a sandbox|a machine behind Landlock'
/** A pattern that meets nothing would pass everything. */
const LEAST_PASSED = 40
const FILES = ['local.test.ts', 'isolation.test.ts', 'fence.test.ts'].map((file) => fileURLToPath(new URL(file, import.meta.url)))
const root = process.getuid?.() === 0

test('the suite also holds for an ordinary user', { skip: root ? false : 'this is an ordinary user' }, (t) => {
  const user = new OrdinaryUser()
  t.after(() => user.leave())
  const unreadable = user.unreadable()
  if (unreadable !== null) return t.skip(unreadable)
  const ran = user.node('--test', '--test-reporter=spec', '--test-name-pattern', ORDINARY_CASES, ...FILES)
  assert.equal(ran.status, 0, ran.stdout.slice(-8000) + ran.stderr.slice(-2000))
  const passed = passedOf(ran.stdout)
  assert.ok(passed >= LEAST_PASSED, `only ${passed} cases ran:\n${ran.stdout.slice(0, 4000)}`)
  t.diagnostic(`${passed} cases passed as an ordinary user`)
})
