/** A Hub starts only under a master key that opens something of what its data directory holds, and says what it does not open. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { freshDatabase } from '../database/testing.ts'
import { assertKeyFits, fitOfKeys, keyFindings, rotationFindings } from './key-fit.ts'
import { settleMasterKeys } from './reseal.ts'
import { createSecrets, GATE_KEY_CONTEXT, providerKeyContext } from './secrets.ts'

const database = await freshDatabase()
after(() => database.close())
const { db } = database
const [right, wrong, next] = [randomBytes(32), randomBytes(32), randomBytes(32)]
const quiet = { info: () => undefined, warn: () => undefined }

const provider = (name: string, key: Buffer | null) => ({
  name,
  wire: 'anthropic' as const,
  base_url: 'https://api.example.com',
  default_model: 'm',
  simulated: false,
  key_sealed: key && createSecrets(key).seal(`key of ${name}`, providerKeyContext(name)),
  updated_at: new Date(),
})

/** A start that counts how often it came to the keys of the store. */
async function start(current: Buffer, previous: Buffer | null = null) {
  let rewraps = 0
  const store = {
    rewrapKeys: async () => {
      rewraps++
      return { rewrapped: 0, unreadable: 2 }
    },
  }
  const keys = { current, previous, isOwnFile: false }
  const settled = settleMasterKeys({ db, secrets: createSecrets(current, previous), keys, dataDir: '/nowhere', store }, quiet)
  return await settled.then(
    (answer) => ({ ...answer, rewraps }),
    (error) => ({ code: error.code as string, rewraps }),
  )
}
const taken = (resealed: number, wasRotated = false) => ({ resealed, wasRotated, unreadableInStore: 2, rewraps: 1 })
const refused = { code: 'hub.master_key', rewraps: 0 }

test('a database without a secret takes any key', async () => {
  await db
    .insertInto('providers')
    .values([provider('bare', null)])
    .execute()
  assert.deepEqual(await start(wrong), taken(0))
})

test('a key that opens nothing is refused before anything is changed, and the right one, or both, are taken', async () => {
  await db
    .insertInto('providers')
    .values([provider('one', right), provider('two', right)])
    .execute()
  const before = await db.selectFrom('providers').selectAll().orderBy('name').execute()
  assert.deepEqual(await start(wrong), refused)
  assert.deepEqual(await start(wrong, next), refused)
  assert.deepEqual(await db.selectFrom('providers').selectAll().orderBy('name').execute(), before)
  assert.deepEqual(await start(right), taken(0))
  assert.deepEqual(await start(next, right), taken(2, true))
  assert.deepEqual(await start(right), refused)
})

test('where only some are unreadable the Hub starts, and what they are is a warning', async () => {
  await db
    .insertInto('gate')
    .values({ certificate: 'c', key_sealed: createSecrets(wrong).seal('k', GATE_KEY_CONTEXT), made_at: new Date() })
    .execute()
  assert.deepEqual(await start(next), taken(0))
  const fit = await fitOfKeys(db, createSecrets(next))
  assert.deepEqual(fit, { readable: 2, unreadable: ['the key of the gate for machines'] })
  const [finding] = keyFindings(fit, 0)
  assert.deepEqual([finding?.status, finding?.detail], ['warning', 'The master key does not open the key of the gate for machines.'])
  assert.ok(finding?.fix)
})

test('a warning names a few and counts the rest, and there is none where all is open', () => {
  assert.deepEqual(keyFindings({ unreadable: [] }, 0), [])
  assert.equal(keyFindings({ unreadable: [] }, 1)[0]?.detail, 'The master key does not open the keys to the checkpoints of 1 project.')
  const unreadable = Array.from({ length: 8 }, (_, index) => `s${index}`)
  assert.match(keyFindings({ unreadable }, 3)[0]?.detail ?? '', /of 3 projects, s0, .*s4, 3 more\.$/)
})

test('a start that was a rotation is told with what it sealed again', () => {
  const told = (resealed: number, wasRotated = true) => rotationFindings({ resealed, wasRotated }).map(({ detail }) => detail)
  assert.deepEqual(told(86), ['The master key was rotated: 86 secrets sealed again.'])
  assert.deepEqual(told(1), ['The master key was rotated: 1 secret sealed again.'])
  assert.deepEqual(told(0), ['The master key is the new one: nothing was left to seal again.'])
  // Of an older form, under the same key.
  assert.deepEqual(told(3, false), [])
})

test('the refusal says what to do, by where the key comes from', async () => {
  const fit = await fitOfKeys(db, createSecrets(right))
  assert.deepEqual([fit.readable, fit.unreadable.length], [0, 3])
  for (const isOwnFile of [true, false])
    assert.throws(() => assertKeyFits(fit, { isOwnFile }), { code: 'hub.master_key', retryable: false, fix: /AUTOVIBE_MASTER_KEY/ })
})
