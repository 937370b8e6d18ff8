import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readS3Config } from './s3-config.ts'

test('a store in a bucket is read from one URL, with what it leaves out', () => {
  for (const [text, expected] of [
    ['s3://my-bucket', { prefix: '', endpoint: null, region: null, pathStyle: false }],
    ['s3://my-bucket/', { prefix: '', endpoint: null, region: null, pathStyle: false }],
    ['s3://my-bucket/a/b_c.d/?region=eu-central-1', { prefix: 'a/b_c.d', endpoint: null, region: 'eu-central-1', pathStyle: false }],
    ['s3://my-bucket/p?endpoint=http://127.0.0.1:9000', { prefix: 'p', endpoint: 'http://127.0.0.1:9000', region: 'us-east-1', pathStyle: true }],
    [
      's3://my-bucket/p?endpoint=https%3A%2F%2Fs3.example.org&region=auto&path_style=false',
      { prefix: 'p', endpoint: 'https://s3.example.org', region: 'auto', pathStyle: false },
    ],
  ] as const)
    assert.deepEqual(readS3Config({ AUTOVIBE_STORE: text }), { bucket: 'my-bucket', credentials: null, ...expected })
})

test('without AUTOVIBE_STORE there is none, and the keys leave the environment all the same', () => {
  const env = { AWS_ACCESS_KEY_ID: 'id', PATH: '/bin' }
  assert.equal(readS3Config(env), null)
  assert.deepEqual(env, { PATH: '/bin' })
})

test('keys come from the variables of AWS, which leave the environment', () => {
  const env = { AUTOVIBE_STORE: 's3://bucket', AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret', AWS_SESSION_TOKEN: 'token', AWS_PROFILE: 'mine' }
  assert.deepEqual(readS3Config(env)?.credentials, { accessKeyId: 'id', secretAccessKey: 'secret', sessionToken: 'token' })
  assert.deepEqual(env, { AWS_PROFILE: 'mine' })
})

for (const [what, text] of [
  ['a folder', '/var/lib/store'],
  ['another scheme', 'https://bucket/prefix'],
  ['no bucket', 's3:///prefix'],
  ['a bucket in capitals', 's3://Bucket/prefix'],
  ['a short bucket', 's3://ab'],
  ['a port', 's3://bucket:9000/prefix'],
  ['a fragment', 's3://bucket/prefix#x'],
  ['a prefix with an empty part', 's3://bucket/a//b'],
  ['a prefix that climbs', 's3://bucket/a/%2e%2e/b%20'],
  ['a prefix with other signs', 's3://bucket/a%2fb'],
  ['a prefix that is too long', `s3://bucket/${'a'.repeat(201)}`],
  ['an unknown parameter', 's3://bucket?acl=public'],
  ['a parameter said twice', 's3://bucket?region=a&region=b'],
  ['a region that is none', 's3://bucket?region=EU%0a'],
  ['an endpoint that is no URL', 's3://bucket?endpoint=localhost:9000'],
  ['an endpoint with a path', 's3://bucket?endpoint=https://host/path'],
  ['a path style that is neither', 's3://bucket?path_style=1'],
] as const) {
  test(`AUTOVIBE_STORE with ${what} is refused`, () => {
    assert.throws(() => readS3Config({ AUTOVIBE_STORE: text }), { code: 'request.invalid' })
  })
}

for (const text of [
  's3://id:SeCrEt@bucket/prefix',
  's3://SeCrEt@bucket',
  's3://bucket?secret_access_key=SeCrEt',
  's3://bucket?endpoint=https://id:SeCrEt@host',
  's3://bucket?region=SeCrEt/',
  's3://b/SeCrEt',
]) {
  test(`no error says again what ${text.replace('SeCrEt', '…')} has in it`, () => {
    assert.throws(
      () => readS3Config({ AUTOVIBE_STORE: text }),
      (error: { code?: string; message: string; fix?: string }) => error.code === 'request.invalid' && !`${error.message} ${error.fix}`.includes('SeCrEt'),
    )
  })
}

test('one of two keys is refused, if it is needed', () => {
  assert.throws(() => readS3Config({ AUTOVIBE_STORE: 's3://bucket', AWS_ACCESS_KEY_ID: 'id' }), { code: 'request.invalid' })
  assert.equal(readS3Config({ AWS_ACCESS_KEY_ID: 'id' }), null)
})
