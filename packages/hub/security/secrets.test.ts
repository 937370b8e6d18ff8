/** Sealed secrets and the master key. */
import assert from 'node:assert/strict'
import { createCipheriv, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { loadMasterKeys } from './master-key.ts'
import { createSecrets } from './secrets.ts'

const folder = await mkdtemp(join(tmpdir(), 'avkey-'))
after(() => rm(folder, { recursive: true, force: true }))
const secrets = createSecrets(randomBytes(32))
const internal = { code: 'internal' }
const noKey = { code: 'hub.master_key', retryable: false, fix: /openssl/ }

test('whatever is sealed opens again, in its own context only', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string(), fc.string(), (text, context, other) => {
      const sealed = secrets.seal(text, context)
      assert.equal(secrets.open(sealed, context), text)
      if (other !== context) assert.throws(() => secrets.open(sealed, other), internal)
    }),
    { numRuns: 200 },
  )
})

test('one changed bit anywhere, or a missing byte, and it does not open', () => {
  const sealed = secrets.seal('sk-ant-secret', 'provider:anthropic')
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const changed = Buffer.from(sealed)
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    assert.throws(() => secrets.open(changed, 'provider:anthropic'), internal)
  }
  for (let length = 0; length < sealed.length; length++) assert.throws(() => secrets.open(sealed.subarray(0, length), 'provider:anthropic'), internal)
})

test('the same text sealed twice looks different, and another master key opens neither', () => {
  const [one, two] = [secrets.seal('same', 'c'), secrets.seal('same', 'c')]
  assert.notDeepEqual(one, two)
  assert.throws(() => createSecrets(randomBytes(32)).open(one, 'c'), internal)
})

test('the master key is made once, for its owner alone, however many start at once', async () => {
  const dataDir = join(folder, 'new')
  const keys = await Promise.all(Array.from({ length: 8 }, () => loadMasterKeys(dataDir, {})))
  for (const key of keys) assert.deepEqual(key, keys[0])
  assert.deepEqual(await readdir(dataDir), ['master.key'])
  assert.equal((await stat(join(dataDir, 'master.key'))).mode & 0o777, 0o600)
  assert.deepEqual({ current: await readFile(join(dataDir, 'master.key')), previous: null, isOwnFile: true }, keys[0])
})

test('the environment goes before the file, and what is no key is refused', async () => {
  const key = randomBytes(32)
  const env = { AUTOVIBE_MASTER_KEY: key.toString('base64'), OTHER: 'x' }
  assert.deepEqual(await loadMasterKeys(join(folder, 'unused'), env), { current: key, previous: null, isOwnFile: false })
  assert.deepEqual(env, { OTHER: 'x' })
  for (const name of ['AUTOVIBE_MASTER_KEY_PREVIOUS', 'AUTOVIBE_MASTER_KEY_PREVIOUS_FILE'])
    await assert.rejects(loadMasterKeys(join(folder, 'unused'), { AUTOVIBE_MASTER_KEY: key.toString('base64'), [name]: '' }), {
      code: 'request.invalid',
      fix: /unset/,
    })
  await assert.rejects(loadMasterKeys(join(folder, 'unused'), { AUTOVIBE_MASTER_KEY: 'short' }), noKey)
  await loadMasterKeys(join(folder, 'cut'), {})
  await writeFile(join(folder, 'cut', 'master.key'), randomBytes(31))
  await assert.rejects(loadMasterKeys(join(folder, 'cut'), {}), noKey)
})

test('what was sealed before keys had ids opens under whichever of the known keys it was sealed', () => {
  const [key, other] = [randomBytes(32), randomBytes(32)]
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from('c'))
  const body = Buffer.concat([cipher.update('old', 'utf8'), cipher.final()])
  const sealed = Buffer.concat([Buffer.of(1), iv, cipher.getAuthTag(), body])
  assert.equal(createSecrets(key).open(sealed, 'c'), 'old')
  assert.equal(createSecrets(other, key).open(sealed, 'c'), 'old')
  assert.throws(() => createSecrets(other).open(sealed, 'c'), internal)
  assert.throws(() => createSecrets(key).open(sealed, 'd'), internal)
})

test('during a rotation both keys open and only the current one seals', () => {
  const [current, previous] = [randomBytes(32), randomBytes(32)]
  const both = createSecrets(current, previous)
  const old = createSecrets(previous).seal('text', 'c')
  assert.equal(both.open(old, 'c'), 'text')
  assert.equal(createSecrets(current).open(both.seal('text', 'c'), 'c'), 'text')
  assert.ok(
    both.seal('text', 'c').subarray(0, both.currentHead.length).equals(both.currentHead) && !old.subarray(0, both.currentHead.length).equals(both.currentHead),
  )
})
