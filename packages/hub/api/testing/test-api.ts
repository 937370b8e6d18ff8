/** A whole API for a test: its own real database, ledger, store and requests, and a key for each role. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { CheckpointId, MachineId, MachineState, Problem, ProjectId, Role, RunId, RunState } from '@autovibe/contract'
import type { Transaction } from 'kysely'
import { type Imports, openImports } from '../../checkpoints/archive/imports.ts'
import { openFolderStore } from '../../checkpoints/create-checkpoint-store.ts'
import { openScratch } from '../../checkpoints/scratch.ts'
import type { CheckpointStore } from '../../checkpoints/store.ts'
import { type OpenChangeFeed, openChangeFeed } from '../../database/change-feed.ts'
import type { Database } from '../../database/database.ts'
import { recordEvent } from '../../database/events.ts'
import type { Schema } from '../../database/schema.ts'
import { type FreshDatabase, freshDatabase } from '../../database/testing.ts'
import { createExecs, type Execs } from '../../exec/execs.ts'
import { createLedger } from '../../ledger/create-ledger.ts'
import type { Ledger } from '../../ledger/ledger.ts'
import { createLogger } from '../../observability/logger.ts'
import { testMetrics } from '../../observability/testing.ts'
import { createRequests } from '../../operations/requests.ts'
import { type Runtime, systemRuntime } from '../../runtime.ts'
import { createApiKey } from '../../security/keys.ts'
import { createSecrets, type Secrets } from '../../security/secrets.ts'
import { proxmoxBringing } from '../../substrates/proxmox/bringing.ts'
import { createApi } from '../create-api.ts'
import type { Api, ApiDeps } from '../plumbing/deps.ts'
import { CAPABILITIES, substrate } from './capable-substrate.ts'

export interface Answer<T> {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: T
  readonly text: string
}

export interface CallOptions {
  readonly key?: string | null
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export class TestApi {
  readonly app: Api
  readonly db: Database
  readonly pool: FreshDatabase['pool']
  readonly ledger: Ledger
  readonly store: CheckpointStore
  readonly imports: Imports
  readonly secrets: Secrets
  readonly execs: Execs
  readonly dataDir: string
  readonly keys: Readonly<Record<Role, string>>
  readonly runtime: Runtime = systemRuntime
  readonly #changes: OpenChangeFeed

  constructor(
    parts: Pick<TestApi, 'app' | 'db' | 'pool' | 'ledger' | 'store' | 'imports' | 'secrets' | 'execs' | 'dataDir' | 'keys'>,
    changes: OpenChangeFeed,
  ) {
    this.app = parts.app
    this.db = parts.db
    this.pool = parts.pool
    this.ledger = parts.ledger
    this.store = parts.store
    this.imports = parts.imports
    this.secrets = parts.secrets
    this.execs = parts.execs
    this.dataDir = parts.dataDir
    this.keys = parts.keys
    this.#changes = changes
  }

  /** One request, with the admin key unless told otherwise. */
  async call<T = Problem>(method: string, url: string, { key = this.keys.admin, body, headers = {} }: CallOptions = {}): Promise<Answer<T>> {
    const response = await this.app.inject({
      method: method as 'GET',
      url,
      headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
      ...(body === undefined ? {} : { payload: body as object }),
    })
    const isJson = /^application\/(problem\+)?json\b/.test(String(response.headers['content-type']))
    return {
      status: response.statusCode,
      headers: response.headers,
      body: (isJson && response.body !== '' ? JSON.parse(response.body) : undefined) as T,
      text: response.body,
    }
  }

  transaction<T>(work: (tx: Transaction<Schema>) => Promise<T>): Promise<T> {
    return this.db.transaction().execute(work)
  }

  async project(name: string): Promise<ProjectId> {
    const id = this.runtime.newId('project')
    await this.db.insertInto('projects').values({ id, name, source_sha256: null, created_at: this.runtime.now() }).execute()
    return id
  }

  /** A machine as operations would have left it; `token` is what it may show at its own door. */
  async machine(projectId: ProjectId, name: string, state: MachineState = 'ready', token: string | null = null): Promise<MachineId> {
    const id = this.runtime.newId('machine')
    const now = this.runtime.now()
    await this.db
      .insertInto('machines')
      .values({
        id,
        name,
        project_id: projectId,
        state,
        state_reason: null,
        substrate: 'local',
        isolation: 'I3',
        copy_tier: 'C3',
        source_sha256: null,
        parent_checkpoint_id: null,
        head_checkpoint_id: null,
        token_hash: token === null ? null : createHash('sha256').update(token).digest('hex'),
        allow_unisolated: false,
        boot_id: null,
        registered_at: null,
        last_heartbeat_at: null,
        quiet_revision: null,
        notice: null,
        run_id: null,
        created_at: now,
        destroyed_at: state === 'destroyed' ? now : null,
      })
      .execute()
    return id
  }

  /** Changes a machine's state the way operations do: with an event in the same transaction. */
  setMachineState(id: MachineId, state: MachineState): Promise<void> {
    return this.transaction(async (tx) => {
      await tx.updateTable('machines').set({ state }).where('id', '=', id).execute()
      await recordEvent(tx, this.runtime, { type: 'machine.state_changed', machine_id: id, data: { to: state } })
    })
  }

  async run(projectId: ProjectId, machineId: MachineId, state: RunState, reason: string | null = null): Promise<RunId> {
    const id = this.runtime.newId('run')
    const now = this.runtime.now()
    const ended = ['succeeded', 'failed', 'cancelled'].includes(state)
    await this.db
      .insertInto('runs')
      .values({
        id,
        project_id: projectId,
        machine_id: machineId,
        prompt: 'mend it',
        agent: 'builtin',
        provider: 'anthropic',
        model: 'm',
        check_command: null,
        state,
        state_reason: reason,
        summary: null,
        check_result: null,
        agent_reported_cost: null,
        budget_id: null,
        created_at: now,
        started_at: state === 'queued' ? null : now,
        ended_at: ended ? now : null,
      })
      .execute()
    return id
  }

  /** A checkpoint whose tree holds these files; without files it is pending. */
  async checkpoint(
    machineId: MachineId,
    options: { files?: Readonly<Record<string, string>>; parent?: CheckpointId; trigger?: string; source?: string } = {},
  ): Promise<CheckpointId> {
    const id = this.runtime.newId('checkpoint')
    const { project_id } = await this.db.selectFrom('machines').select('project_id').where('id', '=', machineId).executeTakeFirstOrThrow()
    const captured =
      options.files === undefined
        ? null
        : await this.store.of(project_id).capture({ checkpointId: id, parent: null, changes: changesOf(options.files) }, AbortSignal.timeout(10_000))
    const now = this.runtime.now()
    await this.db
      .insertInto('checkpoints')
      .values({
        id,
        project_id,
        machine_id: machineId,
        run_id: null,
        parent_id: options.parent ?? null,
        trigger: options.trigger ?? 'demand',
        label: null,
        state: captured ? 'verified' : 'pending',
        state_reason: null,
        consistency: null,
        snapshot: null,
        substrate: null,
        isolation: null,
        copy_tier: null,
        manifest_sha256: captured?.manifestSha256 ?? null,
        files: BigInt(captured?.files ?? 0),
        bytes: BigInt(captured?.bytes ?? 0),
        new_bytes: 0n,
        step: null,
        source_sha256: options.source ?? null,
        created_at: now,
        verified_at: captured ? now : null,
      })
      .execute()
    return id
  }

  async close(): Promise<void> {
    await this.execs.close()
    await this.app.close()
    await this.#changes.close()
    await this.db.destroy()
    await rm(this.dataDir, { recursive: true, force: true })
  }
}

async function* changesOf(files: Readonly<Record<string, string>>) {
  const base = { mode: 0o644, mtime_ms: 0, link_target: null }
  for (const path of ['home', 'project'])
    yield { kind: 'put', entry: { ...base, path, type: 'directory', mode: 0o755, size: 0 }, open: () => Readable.from([]) } as const
  for (const [path, text] of Object.entries(files)) {
    yield { kind: 'put', entry: { ...base, path, type: 'file', size: Buffer.byteLength(text) }, open: () => Readable.from([Buffer.from(text)]) } as const
  }
}

/** Starts one; the caller closes it. */
export async function startTestApi(options: Pick<ApiDeps, 'stalledMs'> = {}): Promise<TestApi> {
  const { db, pool, address } = await freshDatabase()
  const dataDir = await mkdtemp(join(tmpdir(), 'avapi-'))
  const runtime = systemRuntime
  const ledger = createLedger({ db, pool, runtime })
  const secrets = createSecrets(runtime.randomBytes(32))
  const store = await openFolderStore(dataDir, secrets)
  const scratch = await openScratch(join(dataDir, 'scratch'))
  const imports = await openImports(join(dataDir, 'imports'), async () => false, scratch.room)
  const requests = createRequests({
    db,
    runtime,
    ledger,
    store,
    scratch,
    imports,
    substrate,
    tokenFor: (id) => `avm_${id}`,
    isAgentInstalled: async (name) => name === 'builtin',
    isModelPriced: (_, model) => model.startsWith('claude-'),
  })
  const execs = createExecs({ db, runtime, log: createLogger({ level: 'silent' }) })
  const changes = await openChangeFeed(address, { onError: () => undefined })
  const app = await createApi({
    ...options,
    db,
    runtime,
    logger: createLogger({ level: 'silent' }),
    requests,
    ledger,
    store,
    imports,
    secrets,
    execs,
    dataDir,
    changes,
    proxmox: proxmoxBringing,
    metrics: testMetrics({ db, runtime, sizeOf: (id) => store.of(id).size() }),
    health: async () => ({
      status: 'ok',
      version: '0.1.0',
      started_at: '2026-01-01T00:00:00.000Z',
      checks: [{ name: 'database', ok: true, detail: 'answers' }],
    }),
    info: async () => ({
      version: '0.1.0',
      node: process.version,
      database: 'PostgreSQL 15',
      data_dir: dataDir,
      tier: CAPABILITIES.tier,
      findings: [],
      default_limits: CAPABILITIES.defaultLimits,
      started_again: [],
    }),
    agents: async () => [{ name: 'claude-code', version: null, installed: false, path: null }],
    installAgent: async (name) => ({ name, version: '1', installed: true, path: '/agents/x' }),
  })
  const key = async (role: Role) => (await db.transaction().execute((tx) => createApiKey(tx, runtime, { name: role, role }))).secret
  const keys = { admin: await key('admin'), user: await key('user') }
  return new TestApi({ app, db, pool, ledger, store, imports, secrets, execs, dataDir, keys }, changes)
}
