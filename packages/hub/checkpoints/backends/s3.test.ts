import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { sharedS3Server } from '../testing/s3-server.ts'
import { backendConformance } from './conformance.ts'
import { openS3 } from './s3.ts'

const servers = sharedS3Server()
after(() => servers.stop())
const ownPrefix = (): string => `of/${randomBytes(8).toString('hex')}`

backendConformance('a bucket', async (t) => {
  const server = await servers.for(t)
  return server && (await openS3(server.config(ownPrefix())))
})

test('two prefixes of one bucket know nothing of one another, even if one begins like the other', async (t) => {
  const server = await servers.for(t)
  if (server === null) return
  const prefix = ownPrefix()
  const [one, two] = [await openS3(server.config(prefix)), await openS3(server.config(`${prefix}x`))]
  await one.put('f', Buffer.from('one'))
  await two.put('f', Buffer.from('two'))
  await two.put('g', Buffer.from('two'))
  assert.deepEqual(await Array.fromAsync(one.list('')), [{ name: 'f', bytes: 3 }])
  assert.equal(String(await one.get('f')), 'one')
  assert.equal(await one.get('g'), null)
})

test('what opening leaves behind is not listed, and a bucket is opened any number of times', async (t) => {
  const server = await servers.for(t)
  if (server === null) return
  const config = server.config(ownPrefix())
  for (const backend of await Promise.all(Array.from({ length: 6 }, () => openS3(config)))) assert.deepEqual(await Array.fromAsync(backend.list('')), [])
  assert.deepEqual(await Array.fromAsync((await openS3(config)).list('')), [])
})

test('who may only read, has wrong keys or names a bucket that is not there hears what is missing', async (t) => {
  const server = await servers.for(t)
  if (server === null) return
  const config = server.config(ownPrefix())
  const isFinal = (message: RegExp) => (error: { code?: string; retryable?: boolean; message: string; fix?: string }) => {
    assert.match(error.message, message)
    assert.equal(error.code, 'substrate.failed')
    assert.equal(error.retryable, false)
    assert.ok(error.fix)
    return true
  }
  await assert.rejects(openS3(server.readerConfig(ownPrefix())), isFinal(/autovibe-tests refuses to write.*s3:PutObject/))
  await assert.rejects(openS3({ ...config, credentials: { accessKeyId: 'nobody', secretAccessKey: 'x' } }), isFinal(/keys for the bucket autovibe-tests/))
  await assert.rejects(openS3({ ...config, credentials: { accessKeyId: 'of-a-hub', secretAccessKey: 'x' } }), isFinal(/keys for the bucket autovibe-tests/))
  await assert.rejects(openS3({ ...config, bucket: 'autovibe-none' }), isFinal(/autovibe-none.*does not exist/))
})

test('a server that has gone is waited for, and not for ever', async (t) => {
  const server = await servers.for(t)
  if (server === null) return
  const gone = { ...server.config('x'), endpoint: 'http://127.0.0.1:1' }
  await assert.rejects(openS3(gone), { code: 'substrate.unavailable', retryable: true })
})
