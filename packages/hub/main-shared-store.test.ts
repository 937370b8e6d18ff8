/** The composition root with a store in a bucket: several Hubs on one, and the client for it loaded by nobody who has none. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { registerHooks } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { sharedS3Server } from './checkpoints/testing/s3-server.ts'
import { createLogger } from './observability/logger.ts'

const loaded = new Set<string>()
registerHooks({
  load(url, context, next) {
    loaded.add(url)
    return next(url, context)
  },
})
const isClientLoaded = (): boolean => [...loaded].some((url) => url.includes('/@aws-sdk/'))

const rest = { port: 0, databaseUrl: null, logLevel: 'error', isolation: null, copy: null, warmMachines: 0, rotateMasterKey: false } as const

const servers = sharedS3Server()
after(() => servers.stop())

test('two Hubs start on one bucket, each under an id of its own, and without a bucket no client for one is loaded', { timeout: 120_000 }, async (t) => {
  const { startHub } = await import('./main.ts')
  assert.ok(loaded.size > 100)
  assert.equal(isClientLoaded(), false)
  const server = await servers.for(t)
  if (server === null) return
  const store = server.config('of-two-hubs')
  const folders = await Promise.all([0, 1].map(() => mkdtemp(join(tmpdir(), 'avs-'))))
  t.after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))
  const hubs = await Promise.all(folders.map((dataDir) => startHub({ ...rest, dataDir, store }, createLogger({ level: 'silent' }))))
  await Promise.all(hubs.map((hub) => hub.stop()))
  assert.equal(isClientLoaded(), true)
  const [one, two] = await Promise.all(folders.map((folder) => readFile(join(folder, 'hub-id'), 'utf8')))
  assert.notEqual(one, two)
  await assert.rejects(readFile(join(folders[0] ?? '', 'store', 'format')), { code: 'ENOENT' })
})

test('a Hub whose store is away says that it is to be started again, for nobody tries it', { timeout: 120_000 }, async (t) => {
  const { startHub } = await import('./main.ts')
  const dataDir = await mkdtemp(join(tmpdir(), 'avs-'))
  t.after(() => rm(dataDir, { recursive: true, force: true }))
  const store = {
    bucket: 'away',
    prefix: '',
    endpoint: 'http://127.0.0.1:1',
    region: 'us-east-1',
    pathStyle: true,
    credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
  }
  await assert.rejects(startHub({ ...rest, dataDir, store }, createLogger({ level: 'silent' })), {
    code: 'substrate.unavailable',
    fix: /start it again: autovibe up$/,
  })
})
