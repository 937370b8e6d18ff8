/** Servers that do what no good one does on demand: each test says what the server answers, and the real client speaks with it over loopback. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import type { Backend } from './backend.ts'
import { openS3 } from './s3.ts'
import type { S3Config } from './s3-config.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

const problem = (response: ServerResponse, status: number, code: string, message = code): void => {
  response.writeHead(status, { 'content-type': 'application/xml' }).end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`)
}
/** Keeps to If-None-Match for the object that opening tries it on; everything else is the test's. */
const afterOpening =
  (answer: Answer): Answer =>
  (request, response) =>
    request.url?.includes('tmp/probe') ? problem(response, 412, 'PreconditionFailed') : answer(request, response)

async function serve(t: TestContext, answer: Answer): Promise<S3Config> {
  const server = createServer((request, response) => {
    request.resume()
    request.once('end', () => answer(request, response))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const credentials = { accessKeyId: 'id', secretAccessKey: 'secret' }
  return { bucket: 'bucket', prefix: 'p', endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', pathStyle: true, credentials }
}
const open = async (t: TestContext, answer: Answer): Promise<Backend> => openS3(await serve(t, afterOpening(answer)))

test('a server that overwrites in spite of If-None-Match is refused at opening', async (t) => {
  const config = await serve(t, (_request, response) => response.writeHead(200, { etag: '"x"' }).end())
  await assert.rejects(openS3(config), (error: { code?: string; retryable?: boolean; message: string }) => {
    assert.deepEqual([error.code, error.retryable], ['substrate.failed', false])
    return error.message.includes('If-None-Match')
  })
})

test('a bucket in no region is refused before anything is sent', async (t) => {
  const before = { ...process.env }
  for (const name of ['AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_PROFILE']) delete process.env[name]
  process.env['AWS_CONFIG_FILE'] = '/dev/null'
  t.after(() => {
    delete process.env['AWS_CONFIG_FILE']
    Object.assign(process.env, before)
  })
  const config = await serve(t, () => assert.fail('it was asked'))
  await assert.rejects(openS3({ ...config, region: null }), { code: 'request.invalid' })
})

for (const [status, name, code, retryable] of [
  [503, 'SlowDown', 'substrate.unavailable', true],
  [500, 'InternalError', 'substrate.unavailable', true],
  [502, 'BadGateway', 'substrate.unavailable', true],
  [429, 'TooManyRequests', 'substrate.unavailable', true],
  [403, 'QuotaExceeded', 'substrate.disk_full', false],
  [507, 'InsufficientStorage', 'substrate.disk_full', false],
  [403, 'AccessDenied', 'substrate.failed', false],
  [403, 'RequestForbiddenByProxy', 'substrate.failed', false],
  [400, 'ExpiredToken', 'substrate.failed', false],
  [301, 'PermanentRedirect', 'substrate.failed', false],
  [404, 'NoSuchBucket', 'substrate.failed', false],
  [400, 'InvalidArgument', 'substrate.failed', false],
] as const) {
  test(`${status} ${name} is ${code}${retryable ? ', to be tried again' : ''}`, async (t) => {
    const backend = await open(t, (_request, response) => problem(response, status, name, 'words of a stranger'))
    const check = (error: { code?: string; retryable?: boolean; message: string }): boolean => {
      assert.deepEqual([error.code, error.retryable], [code, retryable])
      return !error.message.includes('stranger')
    }
    await assert.rejects(backend.put('a', Buffer.from('x')), check)
    await assert.rejects(backend.get('a'), check)
    await assert.rejects(Array.fromAsync(backend.list('')), check)
    await assert.rejects(backend.delete('a'), check)
  })
}

test('attempts are counted, and one that succeeds is enough', async (t) => {
  let puts = 0
  const backend = await open(t, (request, response) =>
    request.url?.includes('never') || ++puts < 3 ? problem(response, 503, 'SlowDown') : response.writeHead(200, { etag: '"x"' }).end(),
  )
  assert.equal(await backend.put('a', Buffer.from('x')), true)
  assert.equal(puts, 3)
  await assert.rejects(backend.put('never', Buffer.from('x')), { code: 'substrate.unavailable' })
})

test('an answer that breaks off in the middle is asked for again, and no part of it is given', async (t) => {
  let gets = 0
  const backend = await open(t, (request, response) => {
    const breaks = request.url?.includes('never') || ++gets === 1
    response.writeHead(200, { 'content-length': 10, etag: '"x"' })
    if (!breaks) response.end('0123456789')
    else response.write('01234', () => response.destroy())
  })
  assert.equal(String(await backend.get('a')), '0123456789')
  assert.equal(gets, 2)
  await assert.rejects(backend.get('never'), { code: 'substrate.unavailable', retryable: true })
})

test('of a server that gives the whole instead of a range, the range is cut out', async (t) => {
  const backend = await open(t, (_request, response) => response.writeHead(200, { 'content-length': 10 }).end('0123456789'))
  for (const [offset, length, expected] of [
    [2, 3, '234'],
    [8, 9, '89'],
    [20, 5, ''],
    [-3, 3, '789'],
    [-30, 2, '01'],
  ] as const)
    assert.equal(String(await backend.get('a', { offset, length })), expected)
})

test('a put whose answer was lost is known for its own, and one of another is not', async (t) => {
  const stored = new Map<string, string>([['/bucket/p/theirs', 'theirs']])
  let tries = 0
  const backend = await open(t, (request, response) => {
    const url = request.url?.split('?')[0] ?? ''
    if (request.method === 'GET') response.writeHead(200).end(stored.get(url))
    else if (tries++ % 2 === 1) problem(response, 412, 'PreconditionFailed')
    else {
      if (!stored.has(url)) stored.set(url, 'mine')
      response.destroy()
    }
  })
  assert.equal(await backend.put('own', Buffer.from('mine'), { ifAbsent: true }), true)
  assert.equal(await backend.put('theirs', Buffer.from('mine'), { ifAbsent: true }), false)
})

test('two puts that cross one another are decided by the next try', async (t) => {
  let tries = 0
  const backend = await open(t, (_request, response) =>
    problem(response, ++tries === 1 ? 409 : 412, tries === 1 ? 'ConditionalRequestConflict' : 'PreconditionFailed'),
  )
  assert.equal(await backend.put('a', Buffer.from('x'), { ifAbsent: true }), false)
  assert.equal(tries, 2)
})

test('a listing that never ends and an object that is too large are given up', async (t) => {
  const page = '<?xml version="1.0"?><ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken></ListBucketResult>'
  const listing = await open(t, (_request, response) => response.writeHead(200, { 'content-type': 'application/xml' }).end(page))
  await assert.rejects(Array.fromAsync(listing.list('')), { code: 'substrate.failed' })
  const chunk = Buffer.alloc(1024 * 1024)
  const large = await open(t, (_request, response) => {
    response.writeHead(200)
    const more = (): void => void (response.destroyed || response.write(chunk, more))
    more()
  })
  await assert.rejects(large.get('a'), { code: 'substrate.failed' })
})
