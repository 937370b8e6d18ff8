/** A Hub starts whole or not at all, alone on its database, and ends whatever has gone wrong by then. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { EXIT, Problem } from '@autovibe/contract'
import { dataPaths, type HubConfig } from './config.ts'
import { freshDatabase } from './database/testing.ts'
import { lockDataDir } from './instance-lock.ts'
import { startHub } from './main.ts'
import { createLogger } from './observability/logger.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
const BOUND = { timeout: 90_000 }
const logger = createLogger({ level: 'silent' })

async function place(t: TestContext, databaseUrl: string | null = null): Promise<HubConfig> {
  const dataDir = await mkdtemp(join(tmpdir(), 'avm-'))
  // A Hub that did not end in good order may still be removing something in it.
  t.after(() => rm(dataDir, { recursive: true, force: true, maxRetries: 5 }))
  return configOf(dataDir, databaseUrl)
}

const configOf = (dataDir: string, databaseUrl: string | null = null): HubConfig => ({
  dataDir,
  port: 0,
  databaseUrl,
  logLevel: 'error',
  isolation: null,
  copy: null,
  warmMachines: 0,
  rotateMasterKey: false,
  store: null,
})

const serverLog = ({ dataDir }: HubConfig): Promise<string> => readFile(join(dataPaths(dataDir).postgres, 'server.log'), 'utf8')

test('when the substrate refuses, the database that was started beside it is ended again', BOUND, async (t) => {
  const config = await place(t)
  await writeFile(join(config.dataDir, 'local'), 'no folder')
  await assert.rejects(startHub(config, logger))
  assert.match(await serverLog(config), /database system is shut down/)
  await (await lockDataDir(config.dataDir))()
})

test('a Hub whose database has died cannot stop its machines, and ends all the same', BOUND, async (t) => {
  const config = await place(t)
  const hub = await startHub(config, logger)
  const [pid] = (await readFile(join(dataPaths(config.dataDir).postgres, 'data', 'postmaster.pid'), 'utf8')).split('\n')
  process.kill(Number(pid), 'SIGQUIT')
  while (existsSync(`/proc/${pid}`)) await setImmediate()
  await assert.rejects(hub.stop())
  assert.equal(existsSync(dataPaths(config.dataDir).hubFile), false)
  await assert.rejects(fetch(`${hub.url}/v1/health`))
  await (await lockDataDir(config.dataDir))()
})

test('a second Hub on the same database is refused until the first has ended', BOUND, async (t) => {
  const database = await freshDatabase()
  t.after(() => database.close())
  const { host, database: name, user } = database.address
  const url = `postgresql://${user}@/${name}?host=${host}`
  const first = await startHub(await place(t, url), logger)
  const second = await place(t, url)
  await assert.rejects(startHub(second, logger), { code: 'hub.database_taken' })
  await first.stop()
  await (await startHub(second, logger)).stop()
})

for (const [dataDir, above] of [
  ['/proc/foo', '/proc'],
  ['/proc/foo/bar', '/proc'],
  ['/dev/null/foo', '/dev/null'],
] as const) {
  test(`a data directory ${dataDir} is refused at once, and what does not take it is named`, BOUND, async () => {
    await assert.rejects(startHub(configOf(dataDir), logger), (error: { code?: string; message: string }) => {
      assert.equal(error.code, 'request.invalid')
      assert.ok(error.message.includes(dataDir) && error.message.includes(`${above} does not take it`), error.message)
      return true
    })
  })
}

test('a Hub that is told to end while it starts ends in good order, and its database with it', BOUND, async (t) => {
  const config = await place(t)
  const child = spawn(process.execPath, [MAIN, '--data-dir', config.dataDir, '--port', '0'], { stdio: 'ignore' })
  t.after(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  const pidFile = join(dataPaths(config.dataDir).postgres, 'data', 'postmaster.pid')
  const lines = async () => (existsSync(pidFile) ? (await readFile(pidFile, 'utf8')).split('\n') : [])
  while ((await lines()).length < 2) await setImmediate()
  const [pid] = await lines()
  child.kill('SIGTERM')
  assert.deepEqual(await ended, [0, null])
  assert.equal(existsSync(`/proc/${pid}`), false)
  assert.match(await serverLog(config), /database system is shut down/)
})

test('a flag that does not exist is a problem document that names it, with the exit code of a wrong call', BOUND, async () => {
  const child = spawn(process.execPath, [MAIN, '--bogus'], { stdio: ['ignore', 'ignore', 'pipe'] })
  const [written, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  const problem = Problem.parse(JSON.parse(written))
  assert.deepEqual([code, problem.code], [EXIT.usage, 'request.invalid'])
  assert.match(problem.detail, /--bogus/)
})
