/** The master key as a person meets it: a wrong one is refused, what does not open is told, and a rotation is seen. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { EXIT, Finding } from '@autovibe/contract'
import { z } from 'zod'
import { makePlace, type Place } from './support/command.ts'
import { setProvider } from './support/scripted.ts'

const Up = z.object({ already: z.boolean(), findings: z.array(Finding) })
const Checked = z.object({ findings: z.array(Finding) })
/** A project's key in the store that no master key opens. */
const FOREIGN_KEY = ['store', 'keys', 'prj_01k0000000e0000000000000aa'] as const
const key = randomBytes(32).toString('base64')

let place: Place
before(async () => {
  place = await makePlace()
  await place.json(Up, ['up'])
  await setProvider(place, 'http://127.0.0.1:1')
  assert.equal((await place.run(['down'])).code, 0)
})
after(() => place.remove())

test('a key under which nothing was sealed is refused, as is the loss of the right one', async () => {
  const refused = await place.refusal(['up'], { env: { AUTOVIBE_MASTER_KEY: key } })
  assert.deepEqual([refused.code, refused.exit, refused.retryable], ['hub.master_key', EXIT.human, false])
  const file = join(place.dataDir, 'master.key')
  await rename(file, `${file}.kept`)
  assert.equal((await place.refusal(['up'])).code, 'hub.master_key')
  await rename(`${file}.kept`, file)
  assert.deepEqual(await place.json(Up, ['up']), { already: false, findings: [] })
})

test('what the master key does not open, up and doctor say', async () => {
  assert.equal((await place.run(['down'])).code, 0)
  const foreign = join(place.dataDir, ...FOREIGN_KEY)
  await mkdir(dirname(foreign), { recursive: true })
  await writeFile(foreign, randomBytes(80))
  const told = await place.run(['up'])
  assert.match(told.stdout, /^! hub: master key The master key does not open the keys to the checkpoints of 1 project\.\n {4}Fix: /m)
  // Also of a Hub that runs already.
  assert.deepEqual(
    (await place.json(Up, ['up'])).findings.map(({ name, status }) => [name, status]),
    [['master key', 'warning']],
  )
  const { findings } = await place.json(Checked, ['doctor'])
  assert.ok(findings.some(({ area, name, status }) => area === 'hub' && name === 'master key' && status === 'warning'))
  await rm(foreign)
})

test('a running Hub is not rotated, and up says so; after down it is, and up says that', async () => {
  const env = { AUTOVIBE_ROTATE_MASTER_KEY: '1' }
  const refused = await place.refusal(['up'], { env })
  assert.deepEqual([refused.code, refused.exit], ['hub.already_running', EXIT.conflict])
  assert.equal((await place.refusal(['up', '--port', '1'])).code, 'hub.already_running')
  assert.equal((await place.run(['down'])).code, 0)
  const told = await place.run(['up'], { env })
  assert.match(told.stdout, /^✓ The master key was rotated: [1-9][0-9]* secrets? sealed again\.$/m)
  assert.deepEqual((await place.json(Up, ['up'])).findings, [])
})
