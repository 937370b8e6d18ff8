/** The composition root: the only file that knows every room. Configuration in, a running Hub out. */
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { type AutovibeError, asAutovibeError, type Finding, type HubInfo } from '@autovibe/contract'
import { findPrice } from '@autovibe/core/budgets/prices.ts'
import { installAgent, isAgentInstalled, listAgents } from './agents/installed.ts'
import { createApi } from './api/create-api.ts'
import { openImports } from './checkpoints/archive/imports.ts'
import { openFolderStore, openS3Store } from './checkpoints/create-checkpoint-store.ts'
import { openScratch } from './checkpoints/scratch.ts'
import { dataPaths, type HubConfig, readConfig } from './config.ts'
import { openChangeFeed } from './database/change-feed.ts'
import { openDatabase } from './database/database.ts'
import { migrate } from './database/migrate.ts'
import { createDoor } from './door/door.ts'
import { createDoorListener, type MachineHandler, type MachineSocketHandler } from './door/listener.ts'
import { createEgress } from './egress/egress.ts'
import { hostNetwork } from './egress/network.ts'
import { createEnding, type Ending, within } from './ending.ts'
import { createExecs } from './exec/execs.ts'
import { createGateway } from './gateway/gateway.ts'
import { pricesOf } from './gateway/prices/table.ts'
import { healthOf } from './health.ts'
import { readHubId } from './hub-id.ts'
import { lockDatabase, lockDataDir } from './instance-lock.ts'
import { createLedger } from './ledger/create-ledger.ts'
import { createLogger, type Logger } from './observability/logger.ts'
import { createMetrics } from './observability/metrics.ts'
import { openInUse, openLocal } from './open-substrate.ts'
import { type AskAtOnce, askLater } from './operations/engine/at-once.ts'
import { assertKnownSteps } from './operations/engine/stuck.ts'
import { openWakeFeed } from './operations/engine/wake-feed.ts'
import { startWorker } from './operations/engine/worker.ts'
import { isImportAwaited } from './operations/import-checkpoint.ts'
import type { Ports } from './operations/ports.ts'
import { registry } from './operations/registry.ts'
import { createRequests } from './operations/requests.ts'
import { assertPortFree, atStart, openPostgres, portInUse, prepareDataDir, seedProvider, writeAdminKey, writeAtomically } from './prepare.ts'
import { type Runtime, systemRuntime } from './runtime.ts'
import { lookAtMachine } from './scheduler/meter.ts'
import { startSchedules } from './scheduler/start-schedules.ts'
import { fitOfKeys, keyFindings, rotationFindings } from './security/key-fit.ts'
import { machineTokens } from './security/machine-tokens.ts'
import { loadMasterKeys, rotateMasterKey } from './security/master-key.ts'
import { settleMasterKeys } from './security/reseal.ts'
import { createSecrets } from './security/secrets.ts'
import { stopMachines } from './shutdown.ts'
import { proxmoxBringing } from './substrates/proxmox/bringing.ts'
import { startAgain, takeOver } from './take-over.ts'

const VERSION = (JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8')) as { version: string }).version
const POOL_MAX = 24
const NOT_READY = 'HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\r\n'
/** An end takes at most these two together, and so less than the 60 s that `autovibe down` waits: machines at rest (26 s, a little more than they take), then the rest. */
const MACHINES_END_MS = 26_000
const PARTS_END_MS = 17_000

export interface RunningHub {
  readonly url: string
  /** Resolves when another Hub has taken the database, whose machines are now its own: this one must `stop`, which then leaves them alone. */
  readonly taken: Promise<AutovibeError>
  /** Ends in good order: machines stopped, operations at rest, database down; within 45 s whatever hangs. Rejects with the first thing that went wrong. */
  stop(): Promise<void>
}

/** Starts a Hub on a data directory. On failure everything begun is ended again, and the error says what to do. */
export async function startHub(config: HubConfig, logger: Logger, runtime: Runtime = systemRuntime): Promise<RunningHub> {
  const ending = createEnding(logger)
  try {
    return await compose(config, logger, runtime, ending)
  } catch (error) {
    await ending.run(PARTS_END_MS)
    throw error
  }
}

async function compose(config: HubConfig, logger: Logger, runtime: Runtime, ending: Ending): Promise<RunningHub> {
  const { dataDir } = config
  const paths = dataPaths(dataDir)
  const startedAt = runtime.now()
  await prepareDataDir(dataDir)
  ending.add('the lock of the data directory', await lockDataDir(dataDir))
  // As long as something is still ending, the file says whom to wait for.
  ending.add('hub.json', () => rm(paths.hubFile, { force: true }))
  await rm(paths.stoppedFile, { force: true })
  await assertPortFree(config.port)

  const loaded = await loadMasterKeys(dataDir)
  const keys = config.rotateMasterKey ? await rotateMasterKey(dataDir, loaded) : loaded
  const secrets = createSecrets(keys.current, keys.previous)
  const handlers: { machine?: MachineHandler; connect?: MachineSocketHandler; upgrade?: MachineSocketHandler } = {}
  // Machines that outlived the last Hub knock before this one is ready; their agents try again.
  const listener = createDoorListener(
    (machineId, request, response) =>
      handlers.machine ? handlers.machine(machineId, request, response) : response.writeHead(503, { 'retry-after': '1' }).end(),
    {
      connect: (machineId, request, socket, head) => (handlers.connect ? handlers.connect(machineId, request, socket, head) : socket.end(NOT_READY)),
      upgrade: (machineId, request, socket, head) => (handlers.upgrade ? handlers.upgrade(machineId, request, socket, head) : socket.destroy()),
    },
  )
  ending.add('the machine sockets', () => listener.closeAll())

  // First, for it may refuse, and a database that has been started is no longer as it was.
  const store = config.store
    ? await atStart(openS3Store(config.store, secrets, { hubId: await readHubId(paths.hubId, runtime), bootedAt: startedAt }))
    : await openFolderStore(dataDir, secrets)
  const scratch = await openScratch(paths.scratch)
  const begun = [openPostgres(config, paths.postgres, ending), openLocal(config, paths.agents, listener, logger)] as const
  // Both at once; when one refuses, the other must have begun before it can be ended.
  await Promise.allSettled(begun)
  const [address, local] = await Promise.all(begun)
  let machinesOn = local
  ending.add('what machines are made on', () => machinesOn.close())

  const taken = Promise.withResolvers<AutovibeError>()
  let isTaken = false
  const unlockDatabase = await lockDatabase(address, {
    onError: (err) => logger.error({ err }, 'the connection that holds the lock of the database broke; taking the lock again'),
    onTaken: (error) => {
      isTaken = true
      taken.resolve(error)
    },
  })
  ending.add('the lock of the database', unlockDatabase)
  const database = openDatabase(address, { max: POOL_MAX, onError: (err) => logger.warn({ err }, 'a database connection broke') })
  ending.add('the database connections', () => database.close())
  const { db, pool } = database
  await migrate(pool)
  const settledKeys = await atStart(settleMasterKeys({ db, secrets, keys, dataDir, store }, logger))
  // In a shared store there may be projects of Hubs with another master key.
  const unreadableHere = config.store ? 0 : settledKeys.unreadableInStore
  await assertKnownSteps(db, registry)
  const tokenFor = machineTokens(keys.current, keys.previous)
  machinesOn = await openInUse(local, { db, secrets, store, door: listener, tokenFor, hubId: () => readHubId(paths.hubId, runtime), dataDir, logger })
  const { substrate, bringsAgents } = machinesOn

  const ledger = createLedger({ db, pool, runtime })
  const imports = await openImports(paths.imports, (id) => isImportAwaited(db, id), scratch.room)
  const ports: Ports = {
    db,
    runtime,
    ledger,
    store,
    scratch,
    imports,
    substrate,
    tokenFor,
    isAgentInstalled: async (name) => bringsAgents || isAgentInstalled(paths.agents, name),
    isModelPriced: (wire, model) => findPrice(pricesOf[wire], model) !== undefined,
  }
  // Whoever holds the lock of the database is its only Hub: what another had in hand, it left.
  await takeOver(ports, logger)
  const requests = createRequests(ports)
  const wakes = openWakeFeed(address, logger)
  ending.add('the wake-up feed', () => wakes.close())
  const changes = await openChangeFeed(address, { onError: (err) => logger.warn({ err }, 'the event connection broke') })
  ending.add('the event feed', () => changes.close())

  const execs = createExecs({ db, runtime, log: logger })
  const metrics = createMetrics({
    db,
    runtime,
    sizeOf: (projectId) => store.of(projectId).size(),
    onError: (err) => logger.warn({ err }, 'the size of a store is not known'),
  })
  const engine: { ask: AskAtOnce } = { ask: askLater(db) }
  const door = await createDoor({
    ...ports,
    execs,
    requests,
    askAtOnce: (work) => engine.ask(work),
    wakes,
    dataDir,
    metrics,
    log: logger,
    lookAt: (id) => lookAtMachine({ ...ports, log: logger }, id),
  })
  const gateway = createGateway({ db, address, ledger, runtime, secrets, logger })
  handlers.machine = (machineId, request, response) => {
    if (request.url?.startsWith('/gateway/')) void gateway.handle(machineId, request, response)
    else door.handle(machineId, request, response)
  }
  handlers.upgrade = door.upgrade
  ending.add('the gateway', () => gateway.close())
  const egress = createEgress({ db, address, ledger, runtime, logger, network: hostNetwork() })
  handlers.connect = (machineId, request, socket, head) => void egress.handle(machineId, request, socket, head)
  ending.add('egress', () => egress.close())

  await seedProvider(ports)
  await writeAdminKey(ports, paths.apiKey)
  let startingAgain: Promise<readonly string[]> = Promise.resolve([])
  const info = async (): Promise<HubInfo> => ({
    version: VERSION,
    node: process.version,
    database: config.databaseUrl ? 'external PostgreSQL' : 'embedded PostgreSQL 15',
    data_dir: dataDir,
    tier: substrate.capabilities().tier,
    findings: [...rotationFindings(settledKeys), ...keyFindings(await fitOfKeys(db, secrets), unreadableHere), ...substrate.findings()] satisfies Finding[],
    default_limits: substrate.capabilities().defaultLimits,
    started_again: [...(await startingAgain)],
  })
  const health = healthOf(pool, substrate, VERSION, startedAt)
  const agents = { agents: () => listAgents(paths.agents), installAgent: (name: string) => installAgent(paths.agents, name) }
  const parts = { ledger, store, imports, secrets, execs, changes, health, info, metrics, proxmox: proxmoxBringing, ...agents }
  const api = await createApi({ db, runtime, logger, requests, dataDir, ...parts })
  ending.add('the API', () => api.close())
  const url = await api.listen({ host: '127.0.0.1', port: config.port }).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'EADDRINUSE' ? portInUse(config.port) : error
  })

  const worker = startWorker({ db, runtime, registry, ports, owner: `${process.pid}-${runtime.newId('operation')}`, log: logger }, pool, wakes)
  ending.add('the engine', () => worker.stop())
  engine.ask = worker.ask
  const schedules = startSchedules({ ports, requests, log: logger, room: scratch.room })
  ending.add('the sweep', () => schedules.sweep.stop())
  for (const [name, schedule] of schedules.others) ending.add(name, () => schedule.stop())
  // Nobody's first word waits for it. What fails here the sweep tries again.
  startingAgain = startAgain(ports, logger).catch((err) => {
    logger.error({ err }, 'the machines of the last Hub could not be started again; the sweep tries again')
    return []
  })
  await writeAtomically(paths.hubFile, `${JSON.stringify({ url, pid: process.pid, version: VERSION, started_at: startedAt.toISOString() })}\n`)
  logger.info({ url, dataDir, tier: substrate.capabilities().tier }, 'the Hub is ready')

  const bringToRest = async (): Promise<void> => {
    // Whatever starts machines by itself ends first: it would start again what is being stopped.
    await Promise.all([schedules.sweep.stop(), startingAgain])
    const machines = await stopMachines(db, requests, logger)
    await writeAtomically(paths.stoppedFile, `${JSON.stringify({ pid: process.pid, machines })}\n`).catch((err) =>
      logger.warn({ err, machines }, 'which machines were stopped could not be written down'),
    )
  }
  const stop = async (): Promise<void> => {
    const failures: unknown[] = []
    if (!isTaken) {
      await within(MACHINES_END_MS, 'the machines', bringToRest()).catch((err) => {
        failures.push(err)
        logger.error({ err }, 'the machines could not be brought to rest; the next Hub goes on')
      })
    }
    failures.push(...(await ending.run(PARTS_END_MS)))
    if (failures.length > 0) throw failures[0]
  }
  let stopping: Promise<void> | undefined
  return {
    url,
    taken: taken.promise,
    stop: () => {
      stopping ??= stop()
      return stopping
    },
  }
}

/** Runs as the Hub's process: one problem document on standard error when it cannot start, the table's exit code, an orderly end on SIGTERM. */
async function main(): Promise<void> {
  const config = readConfig(process.argv.slice(2), process.env)
  const logger = createLogger({ level: config.logLevel })
  const starting = startHub(config, logger)
  let ends = false
  const end = (exitCode: number): void => {
    if (ends) return
    ends = true
    // Whoever asks a Hub that is still starting to end gets an end in good order too: a database that was just begun does not stay behind.
    starting
      .then((hub) => hub.stop())
      .then(
        () => process.exit(exitCode),
        (err) => {
          logger.error({ err }, 'the Hub did not end in good order')
          process.exit(exitCode || 1)
        },
      )
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      logger.info({ signal }, 'the Hub ends')
      end(0)
    })
  }
  const hub = await starting
  void hub.taken.then((err) => {
    logger.error({ err }, 'the Hub ends and leaves its machines to the other')
    end(err.exitCode)
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((thrown) => {
    const error = asAutovibeError(thrown)
    if (error.internal) process.stderr.write(`${error.internal}\n`)
    process.stderr.write(`${JSON.stringify(error.toProblem())}\n`)
    process.exit(error.exitCode)
  })
}
