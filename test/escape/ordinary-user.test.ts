/** The same attempts on machines of an ordinary user, and how many attempts there are in all. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { OrdinaryUser, passedOf } from '../../packages/hub/substrates/local/test-ordinary-user.ts'
import { asRoot } from './stage.ts'

/** What fences in a machine of an ordinary user otherwise than one of root; doors, git and limits are the same for both. */
const FILES = ['files', 'processes', 'kernel', 'seccomp', 'inherited', 'outlive', 'race', 'trees'].map((name) => join(import.meta.dirname, `${name}.test.ts`))
/** Files that pass nothing would pass everything. */
const LEAST_PASSED = 55
/** What the suite promises; those made by a loop count once here. */
const LEAST_ATTEMPTS = 40

test('the suite makes the attempts that it promises', (t) => {
  const sources = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.ts') && name !== 'stage.ts')
  const counted = sources.flatMap(
    (name) => readFileSync(join(import.meta.dirname, name), 'utf8').match(/^ *(?:attempt|tree|test)\(|^ *\{ ?(?:name|what): /gm) ?? [],
  )
  assert.ok(counted.length >= LEAST_ATTEMPTS, `only ${counted.length} attempts`)
  t.diagnostic(`at least ${counted.length} attempts are made`)
})

test('the attempts fail on machines of an ordinary user too', { skip: asRoot ? false : 'this is an ordinary user' }, (t) => {
  const user = new OrdinaryUser()
  t.after(() => user.leave())
  const unreadable = user.unreadable()
  if (unreadable !== null) return t.skip(unreadable)
  const ran = user.node('--test', '--test-concurrency=2', '--test-reporter=spec', ...FILES)
  assert.equal(ran.status, 0, ran.stdout.slice(-8000) + ran.stderr.slice(-2000))
  const passed = passedOf(ran.stdout)
  assert.ok(passed >= LEAST_PASSED, `only ${passed} attempts were made:\n${ran.stdout.slice(0, 4000)}`)
  t.diagnostic(`${passed} attempts were refused as an ordinary user`)
})
