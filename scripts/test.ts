/**
 * `npm test`: every *.test.ts of the checkout on node's own runner, around one PostgreSQL server that the test processes share.
 * `npm run test:slow`: every *.slow.ts, which take minutes.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { glob } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { startSharedServer } from '../packages/hub/database/testing.ts'

const root = dirname(import.meta.dirname)
const ROOMS = ['packages', 'scripts', 'test', 'bench']
/** Files wait for processes and disks more than they compute; beyond four they only starve one another. Slow ones emulate processors, which is computing. */
const concurrency = (): number => (isSlow ? 1 : Math.min(4, Math.max(2, availableParallelism())))
/** A test that hangs ends the run with its name instead of the patience of whoever waits; 0: as long as it takes. A file that hangs: test-end.ts. */
const timeoutMs = (): number => Number(process.env['AUTOVIBE_TEST_TIMEOUT_MS'] ?? (isSlow ? 1_800_000 : 600_000))

const REPORTERS = ['spec', join(root, 'scripts/slowest.ts')].flatMap((reporter) => [`--test-reporter=${reporter}`, '--test-reporter-destination=stdout'])

const paths = process.argv.slice(2).filter((arg) => !arg.startsWith('-') && existsSync(resolve(arg)))
const isSlow = process.argv.includes('--slow')
const ending = isSlow ? '.slow.ts' : '.test.ts'
const flags = process.argv.slice(2).filter((arg) => !paths.includes(arg) && arg !== '--slow')
const files = await testFiles(paths.length > 0 ? paths.map((path) => relative(root, resolve(path))) : ROOMS)
if (files.length === 0) {
  console.error(`no *${ending} below ${paths.join(', ')}`)
  process.exit(2)
}

const postgres = await startSharedServer()
try {
  process.exitCode = await runNode({ ...process.env, ...postgres.env })
} finally {
  await postgres.stop()
}

async function testFiles(places: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const place of places) {
    if (place.endsWith('.ts')) found.push(place)
    else for await (const file of glob(`${place || '.'}/**/*${ending}`, { cwd: root, exclude: (path) => path.includes('node_modules') })) found.push(file)
  }
  return [...new Set(found)].sort()
}

function runNode(env: NodeJS.ProcessEnv): Promise<number> {
  const options = ['--import', join(root, 'scripts/test-end.ts'), `--test-concurrency=${concurrency()}`, `--test-timeout=${timeoutMs()}`, ...REPORTERS]
  const child = spawn(process.execPath, ['--test', ...options, ...flags, ...files.map((file) => join(root, file))], { cwd: root, stdio: 'inherit', env })
  // The runner ends its own tests; the server must outlive them, so this process waits.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((done, failed) => {
    child.on('error', failed)
    child.on('close', (code) => done(code ?? 1))
  })
}
