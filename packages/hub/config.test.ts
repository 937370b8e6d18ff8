/** What a Hub is told from outside is checked before anything is begun. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readConfig } from './config.ts'

for (const [what, args, named] of [
  ['a flag that does not exist', ['--bogus'], /--bogus/],
  ['a word that belongs to no flag', ['stray'], /stray/],
  ['a flag without its value', ['--port'], /--port/],
  ['a port that is none', ['--data-dir', '/d', '--port', '70000'], /--port/],
  ['a tier that does not exist', ['--data-dir', '/d', '--copy', 'C9'], /--copy/],
  ['a count that is none', ['--data-dir', '/d', '--warm-machines', '-1'], /--warm-machines/],
  ['no data directory', [], /--data-dir/],
] as const) {
  test(`${what} is refused by name`, () => {
    assert.throws(
      () => readConfig(args, {}),
      (error: { code?: string; message: string }) => error.code === 'request.invalid' && named.test(error.message),
    )
  })
}

test('a flag wins over the environment, which wins over the default', () => {
  const env = { AUTOVIBE_PORT: '1', AUTOVIBE_LOG_LEVEL: 'warn', AUTOVIBE_COPY: 'C1' }
  assert.deepEqual(readConfig(['--data-dir', '/d', '--port', '2'], env), {
    dataDir: '/d',
    port: 2,
    databaseUrl: null,
    logLevel: 'warn',
    isolation: null,
    copy: 'C1',
    warmMachines: 4,
    rotateMasterKey: false,
    store: null,
  })
  assert.equal(readConfig(['--data-dir', '/d', '--rotate-master-key'], {}).rotateMasterKey, true)
  assert.equal(readConfig(['--data-dir', '/d'], { AUTOVIBE_ROTATE_MASTER_KEY: '1' }).rotateMasterKey, true)
})

test('the address of the database is taken out of the environment', () => {
  const env = { DATABASE_URL: 'postgresql://h/d' }
  assert.equal(readConfig(['--data-dir', '/d'], env).databaseUrl, 'postgresql://h/d')
  assert.deepEqual(env, {})
})

test('a shared store is read from the environment, which keeps no keys', () => {
  const env = { AUTOVIBE_STORE: 's3://bucket/hubs', AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' }
  const { store } = readConfig(['--data-dir', '/d'], env)
  assert.deepEqual([store?.bucket, store?.prefix, store?.credentials?.secretAccessKey], ['bucket', 'hubs', 'secret'])
  assert.deepEqual(env, {})
  assert.throws(() => readConfig(['--data-dir', '/d'], { AUTOVIBE_STORE: 'bucket' }), { code: 'request.invalid' })
})
