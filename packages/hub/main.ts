/** The composition root: the only file that knows every room. Configuration in, a running Hub out. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { chmod, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { AutovibeError, asAutovibeError, type Finding, type Health, type HubInfo } from '@autovibe/contract'
import type { Suspicions } from '@autovibe/core/reconcile/plan.ts'
import { installAgent, isAgentInstalled, listAgents } from './agents/installed.ts'
import { createApi } from './api/create-api.ts'
import { createCheckpointStore } from './checkpoints/directory-store.ts'
import { dataPaths, type HubConfig, readConfig } from './config.ts'
import { openChangeFeed } from './database/change-feed.ts'
import { type DatabaseAddress, openDatabase } from './database/database.ts'
import { startEmbeddedPostgres } from './database/embedded.ts'
import { migrate } from './database/migrate.ts'
import { createDoor } from './door/door.ts'
import { createDoorListener } from './door/listener.ts'
import { createGateway } from './gateway/gateway.ts'
import { lockDataDir } from './instance-lock.ts'
import { createLedger } from './ledger/create-ledger.ts'
import { createLogger, type Logger } from './observability/logger.ts'
import { assertKnownSteps } from './operations/engine/stuck.ts'
import { openWakeFeed } from './operations/engine/wake-feed.ts'
import { startWorker } from './operations/engine/worker.ts'
import type { Ports } from './operations/ports.ts'
import { registry } from './operations/registry.ts'
import { createRequests } from './operations/requests.ts'
import { type Runtime, systemRuntime } from './runtime.ts'
import { every } from './scheduler/schedule.ts'
import { sweep } from './scheduler/sweep.ts'
import { createApiKey, findIdentity } from './security/keys.ts'
import { machineTokens } from './security/machine-tokens.ts'
import { createSecrets, loadMasterKey } from './security/secrets.ts'
import { stopMachines } from './shutdown.ts'
import { createLocalSubstrate } from './substrates/local/create-local-substrate.ts'
import { takeOver } from './take-over.ts'

const CHECKOUT = fileURLToPath(new URL('../../', import.meta.url))
const VERSION = (JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8')) as { version: string }).version
const POOL_MAX = 24
const SWEEP_EVERY_MS = 5_000

export interface RunningHub {
  readonly url: string
  /** Ends in good order: machines stopped, operations at rest, database down. */
  stop(): Promise<void>
}

/** Starts a Hub on a data directory. On failure everything begun is ended again, and the error says what to do. */
export async function startHub(config: HubConfig, logger: Logger, runtime: Runtime = systemRuntime): Promise<RunningHub> {
  const ending: (() => Promise<unknown>)[] = []
  const end = async () => {
    for (const finish of ending.reverse()) await finish()
    ending.length = 0
  }
  try {
    return await compose(config, logger, runtime, ending, end)
  } catch (error) {
    await end()
    throw error
  }
}

async function compose(config: HubConfig, logger: Logger, runtime: Runtime, ending: (() => Promise<unknown>)[], end: () => Promise<void>): Promise<RunningHub> {
  const { dataDir } = config
  const paths = dataPaths(dataDir)
  const startedAt = runtime.now()
  await prepareDataDir(dataDir)
  ending.push(await lockDataDir(dataDir))
  await assertPortFree(config.port)

  const masterKey = await loadMasterKey(dataDir)
  const secrets = createSecrets(masterKey)
  const handlers: { machine?: Parameters<typeof createDoorListener>[0] } = {}
  // Machines that outlived the last Hub knock before this one is ready; their agents try again.
  const listener = createDoorListener((machineId, request, response) =>
    handlers.machine ? handlers.machine(machineId, request, response) : response.writeHead(503, { 'retry-after': '1' }).end(),
  )
  ending.push(() => listener.closeAll())

  const [address, substrate, store] = await Promise.all([
    openPostgres(config, paths.postgres, ending),
    createLocalSubstrate({
      dataDir,
      agentCode: { root: CHECKOUT },
      agentsDir: paths.agents,
      nodePath: process.execPath,
      door: listener,
      logger,
      ...(config.isolation ? { isolation: config.isolation as 'I3' | 'I2' | 'I0' } : {}),
      ...(config.copy ? { copy: config.copy as 'C3' | 'C1' } : {}),
    }),
    createCheckpointStore({ dataDir, runtime }),
  ])
  const database = openDatabase(address, { max: POOL_MAX, onError: (err) => logger.warn({ err }, 'a database connection broke') })
  ending.push(() => database.close())
  const { db, pool } = database
  await migrate(pool)
  await assertKnownSteps(db, registry)

  const ledger = createLedger({ db, runtime })
  const ports: Ports = {
    db,
    runtime,
    ledger,
    store,
    substrate,
    tokenFor: machineTokens(masterKey),
    isAgentInstalled: (name) => isAgentInstalled(paths.agents, name),
  }
  // An external database may serve other Hubs that live: there, dead ones are told by their leases alone.
  if (!config.databaseUrl) await takeOver(ports, logger)
  const requests = createRequests(ports)
  const wakes = openWakeFeed(address, logger)
  ending.push(() => wakes.close())
  const changes = await openChangeFeed(address, { onError: (err) => logger.warn({ err }, 'the event connection broke') })
  ending.push(() => changes.close())

  const door = await createDoor({ ...ports, requests, wakes, dataDir, log: logger })
  const gateway = createGateway({ db, ledger, runtime, secrets, logger })
  handlers.machine = (machineId, request, response) => {
    if (request.url?.startsWith('/gateway/')) void gateway.handle(machineId, request, response)
    else door.handle(machineId, request, response)
  }
  ending.push(() => gateway.close())

  await seedProvider(ports)
  await writeAdminKey(ports, paths.apiKey)
  const info = async (): Promise<HubInfo> => ({
    version: VERSION,
    node: process.version,
    database: config.databaseUrl ? 'external PostgreSQL' : 'embedded PostgreSQL 15',
    data_dir: dataDir,
    tier: substrate.capabilities().tier,
    findings: [...substrate.findings()] satisfies Finding[],
  })
  const health = async (): Promise<Health> => {
    const answered = await pool.query('select 1').then(
      () => true,
      () => false,
    )
    const checks = [
      { name: 'database', ok: answered, detail: answered ? 'answers' : 'does not answer' },
      { name: 'substrate', ok: true, detail: substrate.capabilities().summary },
    ]
    return { status: checks.every(({ ok }) => ok) ? 'ok' : 'degraded', version: VERSION, started_at: startedAt.toISOString(), checks }
  }
  const agents = { agents: () => listAgents(paths.agents), installAgent: (name: string) => installAgent(paths.agents, name) }
  const api = await createApi({ db, runtime, logger, requests, ledger, store, secrets, dataDir, changes, health, info, ...agents })
  ending.push(() => api.close())
  const url = await api.listen({ host: '127.0.0.1', port: config.port }).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EADDRINUSE' ? portInUse(config.port) : error
  })

  const worker = startWorker({ db, runtime, registry, ports, owner: `${process.pid}-${runtime.newId('operation')}`, log: logger }, pool, wakes)
  ending.push(() => worker.stop())
  let suspicions: Suspicions = new Map()
  const sweeping = every(SWEEP_EVERY_MS, 'sweep', logger, async () => {
    suspicions = (await sweep(ports, logger, suspicions)).suspicions
  })
  ending.push(() => sweeping.stop())
  await writeAtomically(paths.hubFile, `${JSON.stringify({ url, pid: process.pid, version: VERSION, started_at: startedAt.toISOString() })}\n`)
  ending.push(() => rm(paths.hubFile, { force: true }))
  logger.info({ url, dataDir, tier: substrate.capabilities().tier }, 'the Hub is ready')
  return {
    url,
    stop: async () => {
      await stopMachines(db, requests, logger)
      await end()
    },
  }
}

async function openPostgres(config: HubConfig, dir: string, ending: (() => Promise<unknown>)[]): Promise<DatabaseAddress> {
  if (config.databaseUrl) return { connectionString: config.databaseUrl }
  const server = await startEmbeddedPostgres({ dir })
  ending.push(() => server.stop())
  return server.address
}

async function prepareDataDir(dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOSPC')
      throw new AutovibeError('substrate.disk_full', `The disk is full: ${dataDir} cannot be made.`, { fix: 'Free some space, or choose another --data-dir.' })
    throw new AutovibeError('request.invalid', `The data directory ${dataDir} cannot be made: ${error.code}.`, {
      fix: 'Choose another with --data-dir or AUTOVIBE_DATA_DIR.',
    })
  })
  // The database's own user must get through to its folder; everything in it is closed by its own mode.
  if (process.getuid?.() === 0) await chmod(dataDir, 0o711)
  const paths = dataPaths(dataDir)
  await mkdir(paths.sources, { recursive: true, mode: 0o700 })
  await mkdir(paths.agents, { recursive: true, mode: 0o755 })
}

/** Asked before anything is started, so that a port in use changes nothing. */
async function assertPortFree(port: number): Promise<void> {
  if (port === 0) return
  await new Promise<void>((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (error: NodeJS.ErrnoException) => reject(error.code === 'EADDRINUSE' ? portInUse(port) : error))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve()))
  })
}

const portInUse = (port: number) =>
  new AutovibeError('hub.port_in_use', `Port ${port} is in use by another program.`, { fix: 'Choose another: autovibe up --port 7421' })

/** The vendor that is there from the start, still without a key. */
async function seedProvider({ db, runtime }: Ports): Promise<void> {
  const anthropic = {
    name: 'anthropic',
    wire: 'anthropic' as const,
    base_url: 'https://api.anthropic.com',
    default_model: 'claude-opus-5-5',
    simulated: false,
    key_sealed: null,
    updated_at: runtime.now(),
  }
  await db
    .insertInto('providers')
    .values(anthropic)
    .onConflict((oc) => oc.doNothing())
    .execute()
}

/** The admin key of the embedded default, in a file that only the owner can read; a file whose key the database does not know is replaced. */
async function writeAdminKey({ db, runtime }: Ports, path: string): Promise<void> {
  const existing = await readFile(path, 'utf8').catch(() => null)
  if (existing && (await findIdentity(db, runtime, existing.trim()))) return
  const { secret } = await db.transaction().execute((tx) => createApiKey(tx, runtime, { name: 'embedded', role: 'admin' }))
  await writeAtomically(path, `${secret}\n`)
}

async function writeAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}.${createHash('sha256').update(`${process.pid} ${performance.now()}`).digest('hex').slice(0, 12)}`
  await writeFile(temporary, text, { mode: 0o600 })
  const file = await open(temporary, 'r')
  await file.sync().finally(() => file.close())
  await rename(temporary, path)
}

/** Runs as the Hub's process: one problem document on standard error when it cannot start, the table's exit code, an orderly end on SIGTERM. */
async function main(): Promise<void> {
  const config = readConfig(process.argv.slice(2), process.env)
  const logger = createLogger({ level: config.logLevel })
  const hub = await startHub(config, logger)
  let stopping = false
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (stopping) return
      stopping = true
      logger.info({ signal }, 'the Hub ends')
      hub.stop().then(
        () => process.exit(0),
        (err) => {
          logger.error({ err }, 'the Hub did not end in good order')
          process.exit(1)
        },
      )
    })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((thrown) => {
    const error = asAutovibeError(thrown)
    if (error.internal) process.stderr.write(`${error.internal}\n`)
    process.stderr.write(`${JSON.stringify(error.toProblem())}\n`)
    process.exit(error.exitCode)
  })
}
