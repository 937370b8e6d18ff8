import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { AutovibeError } from '@autovibe/contract'
import { ConformanceDoor } from '../conformance-door.ts'
import { substrateConformance } from '../conformance.ts'
import { TestGround, type Tiers } from './test-ground.ts'

/** An id that belongs to nobody on usual hosts (below the range of nobody and of container users). */
const ORDINARY_ID = '61234'
/** All of the strongest form, and of the weaker one what differs for those who are not root. */
const ORDINARY_CASES = 'local I2\\+C3|local I2\\+C1 what an agent locks away'
const root = process.getuid?.() === 0
const isolation = root ? 'I3' : 'I2'

const offered = await bestOfThisHost()

for (const tiers of [
  { isolation, copy: 'C3' },
  { isolation, copy: 'C1' },
  { isolation: 'I0', copy: 'C1' },
] as const satisfies Tiers[]) {
  const sandbox = tiers.isolation === 'I0' || offered.isolation === tiers.isolation
  if (sandbox && (tiers.copy === 'C1' || offered.copy === 'C3')) substrateConformance(`local ${tiers.isolation}+${tiers.copy}`, () => TestGround.make(tiers))
  else test(`local ${tiers.isolation}+${tiers.copy}`, { skip: `this host offers only ${offered.isolation} with ${offered.copy}` }, () => undefined)
}

test('the suite also holds for an ordinary user', { skip: root ? false : 'this is an ordinary user' }, (t) => {
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent', TMPDIR: '/tmp' }
  const asUser = ['--reuid', ORDINARY_ID, '--regid', ORDINARY_ID, '--clear-groups', '--no-new-privs']
  const reach = spawnSync('setpriv', [...asUser, process.execPath, '--check', fileURLToPath(import.meta.url)], { env, encoding: 'utf8' })
  if (reach.status !== 0) return t.skip(`an ordinary user cannot read this checkout: ${reach.stderr}`)
  const ran = spawnSync('setpriv', [...asUser, process.execPath, '--test', '--test-reporter=spec', '--test-name-pattern', ORDINARY_CASES, fileURLToPath(import.meta.url)], { env, encoding: 'utf8', maxBuffer: 1 << 24 })
  assert.equal(ran.status, 0, ran.stdout.slice(-8000) + ran.stderr.slice(-2000))
  t.diagnostic(ran.stdout.split('\n').filter((line) => /^ℹ (pass|skipped)/.test(line)).join(', '))
})

test('a tier that the host does not offer is refused, never replaced', async () => {
  await assert.rejects(makeAndOpen({ isolation: root ? 'I2' : 'I3', copy: 'C1' }), isUnavailable)
  await assert.rejects(makeAndOpen({ isolation: 'I0', copy: 'C3' }), isUnavailable)
})

const isUnavailable = (error: unknown): boolean => error instanceof AutovibeError && error.code === 'substrate.unavailable' && error.fix !== undefined

async function makeAndOpen(tiers: Tiers): Promise<void> {
  const ground = await TestGround.make(tiers)
  try {
    await ground.open(new ConformanceDoor())
  } finally {
    rmSync(ground.dataDir, { recursive: true })
  }
}

async function bestOfThisHost() {
  const ground = await TestGround.make({})
  try {
    return (await ground.open(new ConformanceDoor())).capabilities().tier
  } finally {
    rmSync(ground.dataDir, { recursive: true })
  }
}
