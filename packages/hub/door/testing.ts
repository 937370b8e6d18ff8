/** A door for tests over real unix sockets and a real database, and machines that speak through it. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MachineId, RunId } from '@autovibe/contract'
import { type FreshDatabase, freshDatabase } from '../database/testing.ts'
import { createExecs, type Execs } from '../exec/execs.ts'
import type { ExecTimes } from '../exec/hub-exec.ts'
import { createLedger } from '../ledger/create-ledger.ts'
import { testMetrics } from '../observability/testing.ts'
import { askLater } from '../operations/engine/at-once.ts'
import { silentLog } from '../operations/engine/testing.ts'
import { openWakeFeed, type WakeFeed } from '../operations/engine/wake-feed.ts'
import type { Ports } from '../operations/ports.ts'
import { createRequests } from '../operations/requests.ts'
import { type Runtime, systemRuntime } from '../runtime.ts'
import { createDoor } from './door.ts'
import { createDoorListener } from './listener.ts'

export interface Answer<T> {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: T
}

export interface Caller {
  readonly id: MachineId
  readonly runId: RunId
  readonly bootId: string
  readonly socketPath: string
  readonly token: string
  ask<T = Record<string, unknown>>(method: string, path: string, body?: unknown, token?: string): Promise<Answer<T>>
  /** The same with a body that is written already. */
  askText<T = Record<string, unknown>>(method: string, path: string, text: string): Promise<Answer<T>>
  /** One event of its run, as the agent tells it. */
  told(seq: number, more?: object): object
  tell<T = Record<string, unknown>>(...events: object[]): Promise<Answer<T>>
}

/** How long the runs of the ground have been running when they are made, and on how many processors. */
const RUNNING_MS = 3_600_000
const CORES = 4

export interface DoorGround {
  readonly database: FreshDatabase
  readonly execs: Execs
  /** What Prometheus would be told. */
  metrics(): Promise<string>
  /** Waits for wake-ups that the door has not given up yet. */
  waiting(): number
  /** A booting machine with a running run, and its voice. */
  machine(): Promise<Caller>
  /** The same after its first word. */
  registered(): Promise<Caller>
  close(): Promise<void>
}

export async function openDoorGround(runtime: Runtime = systemRuntime, times: Partial<ExecTimes> = {}): Promise<DoorGround> {
  const database = await freshDatabase()
  const { db, pool } = database
  const substrate = { capabilities: () => ({ most: { cores: CORES } }) }
  // Nothing that the door does by itself reaches the substrate or the store.
  const ports = { db, runtime, ledger: createLedger({ db, pool, runtime }), tokenFor: () => '', substrate } as unknown as Ports
  const wakes = openWakeFeed(database.address, silentLog)
  const counted = countWaits(wakes)
  const folder = await mkdtemp(join(tmpdir(), 'avdoor-'))
  const execs = createExecs({ db, runtime, log: silentLog, times })
  // Its machines are rows alone, of which nothing can be measured.
  const lookAt = async (): Promise<void> => undefined
  const metrics = testMetrics({ db, runtime, sizeOf: async () => ({ storedBytes: 0, uniqueBytes: 0 }) })
  const parts = { execs, requests: createRequests(ports), askAtOnce: askLater(db), wakes: counted.feed, dataDir: folder, metrics, log: silentLog, lookAt }
  const door = await createDoor({ ...ports, ...parts })
  const listener = createDoorListener(door.handle, { upgrade: door.upgrade })
  let made = 0

  async function machine(): Promise<Caller> {
    const [id, runId, projectId] = [runtime.newId('machine'), runtime.newId('run'), runtime.newId('project')]
    const number = ++made
    const bootId = `boot-${String(number).padStart(4, '0')}`
    const ownToken = `avm_${id}`
    await db
      .insertInto('projects')
      .values({ id: projectId, name: `door-${number}`, source_sha256: null, created_at: runtime.now() })
      .execute()
    await database.pool.query('insert into machines (id, name, project_id, state, token_hash, created_at) values ($1, $2, $3, $4, $5, now())', [
      id,
      `door-${number}`,
      projectId,
      'booting',
      createHash('sha256').update(ownToken).digest('hex'),
    ])
    await database.pool.query(
      `insert into runs (id, project_id, machine_id, prompt, agent, provider, model, state, created_at, started_at)
       values ($1, $2, $3, 'do it', 'builtin', 'anthropic', 'm', 'running', $4, $4)`,
      [runId, projectId, id, new Date(runtime.now().getTime() - RUNNING_MS)],
    )
    const socketPath = join(folder, `${number}.sock`)
    await listener.listen(id, socketPath)
    const ask: Caller['ask'] = (method, path, body, token = ownToken) =>
      send(socketPath, method, path, body === undefined ? undefined : JSON.stringify(body), token)
    return {
      id,
      runId,
      bootId,
      socketPath,
      token: ownToken,
      ask,
      askText: (method, path, text) => send(socketPath, method, path, text, ownToken),
      told: (seq, more = {}) => ({ seq, type: 'run.message', at: runtime.now().toISOString(), run_id: runId, data: { text: `word ${seq}` }, ...more }),
      tell: (...events) => ask('POST', '/events', { boot_id: bootId, events }),
    }
  }

  return {
    database,
    execs,
    metrics: () => metrics.text(),
    waiting: counted.waiting,
    machine,
    registered: async () => {
      const one = await machine()
      await one.ask('POST', '/register', { boot_id: one.bootId, agent_version: '1' })
      return one
    },
    close: async () => {
      await execs.close()
      await listener.closeAll()
      await door.close()
      await wakes.close()
      await database.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function countWaits(wakes: WakeFeed): { feed: WakeFeed; waiting(): number } {
  let waiting = 0
  const next: WakeFeed['next'] = (...wait) => {
    waiting++
    return wakes.next(...wait).finally(() => waiting--)
  }
  return { feed: { ...wakes, next }, waiting: () => waiting }
}

function send<T>(socketPath: string, method: string, path: string, text: string | undefined, token: string): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${token}`,
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    }
    const sent = request({ socketPath, method, path: `/door${path}`, headers }, (response) => {
      let said = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        said += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(said) }))
    })
    sent.on('error', reject)
    sent.end(text)
  })
}
