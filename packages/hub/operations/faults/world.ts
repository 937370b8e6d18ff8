/** A real Hub's rooms without its process: database, substrate, door and agents are real; the engine's life is in the hands of the test. */
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type CheckpointId, type MachineId, type ProjectId, SOURCE_REF } from '@autovibe/contract'
import { encodeId } from '@autovibe/core/ids.ts'
import { openImports } from '../../checkpoints/archive/imports.ts'
import { openFolderStore } from '../../checkpoints/create-checkpoint-store.ts'
import { openScratch } from '../../checkpoints/scratch.ts'
import type { CheckpointStore } from '../../checkpoints/store.ts'
import type { OpenDatabase } from '../../database/database.ts'
import { type FreshDatabase, freshDatabase } from '../../database/testing.ts'
import { createDoor } from '../../door/door.ts'
import { createDoorListener } from '../../door/listener.ts'
import { createExecs } from '../../exec/execs.ts'
import { createLedger } from '../../ledger/create-ledger.ts'
import { testMetrics } from '../../observability/testing.ts'
import type { Runtime } from '../../runtime.ts'
import { lookAtMachine } from '../../scheduler/meter.ts'
import { machineTokens } from '../../security/machine-tokens.ts'
import { createSecrets } from '../../security/secrets.ts'
import { createLocalSubstrate } from '../../substrates/local/create-local-substrate.ts'
import type { DoorListener, Substrate } from '../../substrates/substrate.ts'
import { askLater } from '../engine/at-once.ts'
import { silentLog } from '../engine/testing.ts'
import { openWakeFeed, type WakeFeed } from '../engine/wake-feed.ts'
import type { Ports } from '../ports.ts'
import { insertMachine } from '../requests/rows.ts'
import { createRequests, type Requests } from '../requests.ts'
import type { MachineRow } from '../steps/machine-state.ts'

const run = promisify(execFile)
const CHECKOUT = fileURLToPath(new URL('../../../../', import.meta.url))
const DEMO_PROJECT = join(CHECKOUT, 'packages/scripted-model/scripts/demo-project')

/** Real time, plus what the test has added to it. */
export interface ShiftedClock extends Runtime {
  shift(ms: number): void
}

export interface World {
  readonly database: FreshDatabase
  readonly ports: Ports
  readonly requests: Requests
  readonly wakes: WakeFeed
  readonly clock: ShiftedClock
  readonly projectId: ProjectId
  /** Ports over a pool of their own, as another Hub process would have. */
  portsOver(database: OpenDatabase): Ports
  newMachine(from: CheckpointId | null): Promise<MachineRow>
  close(): Promise<void>
}

function shiftedClock(): ShiftedClock {
  let offsetMs = 0
  const now = () => Date.now() + offsetMs
  return {
    now: () => new Date(now()),
    randomBytes: (size) => randomBytes(size),
    newId: (kind) => encodeId(kind, now(), randomBytes(10)),
    shift: (ms) => {
      offsetMs += ms
    },
  }
}

/** What a world's machines are made on, and how that is taken down when they are gone. */
export interface WorldSubstrate {
  readonly substrate: Substrate
  close(): Promise<void>
}

/** What a substrate may need of the world that it is opened for. */
export interface WorldParts {
  readonly dataDir: string
  readonly door: DoorListener
  readonly database: FreshDatabase
  readonly store: CheckpointStore
  readonly tokenFor: (machineId: MachineId) => string
}

/** Everything that the operations need, with one project imported. Behind its provider is nobody: a run ends at its first model call. */
export async function openWorld(openSubstrate: (parts: WorldParts) => Promise<WorldSubstrate> = openLocal): Promise<World> {
  const dataDir = await mkdtemp(join(tmpdir(), 'avf-'))
  const clock = shiftedClock()
  const database = await freshDatabase()
  const handlers: { machine?: Parameters<typeof createDoorListener>[0] } = {}
  const listener = createDoorListener((machineId, request, response) => handlers.machine?.(machineId, request, response))
  const store = await openFolderStore(dataDir, createSecrets(randomBytes(32)))
  const scratch = await openScratch(join(dataDir, 'scratch'))
  const imports = await openImports(join(dataDir, 'imports'), async () => false, scratch.room)
  const tokenFor = machineTokens(randomBytes(32))
  const { substrate, close: closeSubstrate } = await openSubstrate({ dataDir, door: listener, database, store, tokenFor })
  const portsOver = ({ db, pool }: OpenDatabase): Ports => ({
    db,
    runtime: clock,
    ledger: createLedger({ db, pool, runtime: clock }),
    store,
    scratch,
    imports,
    substrate,
    tokenFor,
    isAgentInstalled: async () => true,
    isModelPriced: () => true,
  })
  const ports = portsOver(database)
  const requests = createRequests(ports)
  const wakes = openWakeFeed(database.address, silentLog)
  const door = await createDoor({
    ...ports,
    execs: createExecs({ db: database.db, runtime: clock, log: silentLog }),
    requests,
    askAtOnce: askLater(database.db),
    wakes,
    dataDir,
    metrics: testMetrics({ db: database.db, runtime: clock, sizeOf: (id) => store.of(id).size() }),
    log: silentLog,
    lookAt: (machineId) => lookAtMachine({ ...ports, log: silentLog }, machineId),
  })
  handlers.machine = door.handle
  const projectId = await importProject(database, clock, dataDir)

  return {
    database,
    ports,
    requests,
    wakes,
    clock,
    projectId,
    portsOver,
    newMachine: (from) =>
      database.db.transaction().execute(async (tx) => {
        const { source_sha256: sourceSha256 } = await tx.selectFrom('projects').select('source_sha256').where('id', '=', projectId).executeTakeFirstOrThrow()
        // A machine that nobody gives a run never fetches a source.
        return insertMachine(ports, tx, { projectId, allowUnisolated: true, sourceSha256: from ? sourceSha256 : null, from, notice: null })
      }),
    close: async () => {
      for (const { machineId } of await substrate.list(AbortSignal.timeout(10_000))) await substrate.destroy(machineId, AbortSignal.timeout(30_000))
      await listener.closeAll()
      await door.close()
      await wakes.close()
      await closeSubstrate()
      await database.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

export async function openLocal({ dataDir, door }: WorldParts): Promise<WorldSubstrate> {
  const substrate = await createLocalSubstrate({
    dataDir,
    agentCode: { root: CHECKOUT },
    agentsDir: join(dataDir, 'agents'),
    nodePath: process.execPath,
    door,
    logger: silentLog,
  })
  return {
    substrate,
    close: async () => {
      await substrate.close()
      // What it removes in the background is in the folder.
      await substrate.settled()
    },
  }
}

async function importProject({ db }: FreshDatabase, clock: Runtime, dataDir: string): Promise<ProjectId> {
  const repository = join(dataDir, 'repository')
  await cp(DEMO_PROJECT, repository, { recursive: true })
  const git = (...args: string[]) => run('git', ['-C', repository, '-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args])
  await git('init', '-q', '-b', 'main')
  await git('add', '-A')
  await git('commit', '-q', '-m', 'start')
  await git('update-ref', SOURCE_REF, 'HEAD')
  await git('bundle', 'create', '-q', join(dataDir, 'bundle'), SOURCE_REF)
  const bundle = await readFile(join(dataDir, 'bundle'))
  const sha256 = createHash('sha256').update(bundle).digest('hex')
  await mkdir(join(dataDir, 'sources'), { recursive: true })
  await writeFile(join(dataDir, 'sources', `${sha256}.bundle`), bundle)
  const commit = (await git('rev-parse', 'HEAD')).stdout.trim()
  const id = clock.newId('project')
  const now = clock.now()
  await db
    .insertInto('sources')
    .values({ sha256, bytes: BigInt(bundle.length), commit, base_commit: commit, branch: 'main', dirty: false, imported_at: now })
    .execute()
  await db.insertInto('projects').values({ id, name: 'greeting-card', source_sha256: sha256, created_at: now }).execute()
  const provider = {
    name: 'nobody',
    wire: 'anthropic' as const,
    base_url: 'http://127.0.0.1:9',
    default_model: 'claude-sonnet-5',
    simulated: true,
    key_sealed: Buffer.from('sealed'),
    updated_at: now,
  }
  await db.insertInto('providers').values(provider).execute()
  return id
}

/** The machine's row as it is now. */
export const machineRow = ({ database }: World, id: MachineId): Promise<MachineRow> =>
  database.db.selectFrom('machines').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
