/** The machine door over real unix sockets: who is let in, what is believed, what is stored once. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { DOOR_LIMITS, type Instructions, type MachineId, type RunId } from '@autovibe/contract'
import { freshDatabase } from '../database/testing.ts'
import { createLedger } from '../ledger/create-ledger.ts'
import { silentLog } from '../operations/engine/testing.ts'
import { openWakeFeed } from '../operations/engine/wake-feed.ts'
import type { Ports } from '../operations/ports.ts'
import { createRequests } from '../operations/requests.ts'
import { lockMachine, setControl } from '../operations/steps/machine-state.ts'
import { systemRuntime } from '../runtime.ts'
import { createDoor } from './door.ts'
import { createDoorListener } from './listener.ts'

const database = await freshDatabase()
const { db } = database
const runtime = systemRuntime
const ledger = createLedger({ db, runtime })
// Nothing that the door does by itself reaches the substrate or the store.
const ports = { db, runtime, ledger, tokenFor: () => '' } as unknown as Ports
const wakes = openWakeFeed(database.address, silentLog)
let folder: string
let door: Awaited<ReturnType<typeof createDoor>>
const listener = createDoorListener((machineId, message, response) => door.handle(machineId, message, response))

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'avdoor-'))
  door = await createDoor({ ...ports, requests: createRequests(ports), wakes, dataDir: folder, log: silentLog })
})
after(async () => {
  await listener.closeAll()
  await door.close()
  await wakes.close()
  await database.close()
  await rm(folder, { recursive: true, force: true })
})

interface Answer<T> {
  readonly status: number
  readonly body: T
}

interface Caller {
  readonly id: MachineId
  readonly runId: RunId
  ask<T = Record<string, unknown>>(method: string, path: string, body?: unknown, token?: string): Promise<Answer<T>>
}

let made = 0

/** A booting machine with a queued run, and its voice. */
async function machine(): Promise<Caller> {
  const id = runtime.newId('machine')
  const runId = runtime.newId('run')
  const projectId = runtime.newId('project')
  const ownToken = `avm_${id}`
  await db
    .insertInto('projects')
    .values({ id: projectId, name: `door-${++made}`, source_sha256: null, created_at: runtime.now() })
    .execute()
  await database.pool.query('insert into machines (id, name, project_id, state, token_hash, created_at) values ($1, $2, $3, $4, $5, now())', [
    id,
    `door-${made}`,
    projectId,
    'booting',
    createHash('sha256').update(ownToken).digest('hex'),
  ])
  await database.pool.query(
    `insert into runs (id, project_id, machine_id, prompt, agent, provider, model, state, created_at) values ($1, $2, $3, 'do it', 'builtin', 'anthropic', 'm', 'running', now())`,
    [runId, projectId, id],
  )
  const socketPath = join(folder, `${made}.sock`)
  await listener.listen(id, socketPath)
  return {
    id,
    runId,
    ask: (method, path, body, token = ownToken) =>
      new Promise((resolve, reject) => {
        const text = body === undefined ? '' : JSON.stringify(body)
        const headers = {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        }
        const sent = request({ socketPath, method, path: `/door${path}`, headers }, (response) => {
          let said = ''
          response.setEncoding('utf8')
          response.on('data', (chunk: string) => {
            said += chunk
          })
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(said) }))
        })
        sent.on('error', reject)
        sent.end(text)
      }),
  }
}

const told = (caller: Caller, seq: number, more: object = {}) => ({
  seq,
  type: 'run.message',
  at: new Date().toISOString(),
  run_id: caller.runId,
  data: { text: `word ${seq}` },
  ...more,
})
const messages = async (caller: Caller): Promise<unknown[]> =>
  (await db.selectFrom('events').select('data').where('run_id', '=', caller.runId).where('type', '=', 'run.message').orderBy('seq').execute()).map(
    ({ data }) => data['text'],
  )

test('a machine is let in with its own token on its own socket, and with nothing else', async () => {
  const [one, other] = [await machine(), await machine()]
  const register = { boot_id: 'boot-0001', agent_version: '1' }
  assert.equal((await one.ask('POST', '/register', register, `avm_${other.id}`)).status, 401)
  assert.equal((await one.ask('POST', '/register', register, '')).status, 401)
  assert.equal((await one.ask('POST', '/register', register)).status, 200)
  assert.equal((await db.selectFrom('machines').select('state').where('id', '=', one.id).executeTakeFirstOrThrow()).state, 'ready')
  await db.updateTable('machines').set({ token_hash: null }).where('id', '=', one.id).execute()
  assert.equal((await one.ask('POST', '/register', register)).status, 401)
})

test('a batch that comes twice is stored once, and what is new in it is stored', async () => {
  const one = await machine()
  const batch = (...seqs: number[]) => ({ boot_id: 'boot-0002', events: seqs.map((seq) => told(one, seq)) })
  assert.deepEqual((await one.ask('POST', '/events', batch(1, 2))).body, { stored_seq: 2 })
  assert.deepEqual((await one.ask('POST', '/events', batch(1, 2))).body, { stored_seq: 2 })
  assert.deepEqual((await one.ask('POST', '/events', batch(2, 3))).body, { stored_seq: 3 })
  assert.deepEqual(await messages(one), ['word 1', 'word 2', 'word 3'])
  await one.ask('POST', '/events', { boot_id: 'boot-0003', events: [told(one, 1)] })
  assert.equal((await messages(one)).length, 4)
})

test('a machine cannot speak of another run, of other types, or at length', async () => {
  const [one, other] = [await machine(), await machine()]
  const send = (event: object) => one.ask('POST', '/events', { boot_id: 'boot-0004', events: [event] })
  assert.equal((await send(told(other, 1))).status, 403)
  assert.equal((await send(told(one, 1, { type: 'budget.changed' }))).status, 400)
  assert.equal((await send(told(one, 1, { data: { text: 'x'.repeat(DOOR_LIMITS.eventBytes + 1) } }))).status, 413)
  assert.equal((await send(told(one, 1, { type: 'step.finished', data: { index: 0 } }))).status, 400)
  assert.equal(
    (await one.ask('POST', '/events', { boot_id: 'boot-0004', events: [told(one, 1, { data: { text: 'x'.repeat(DOOR_LIMITS.bodyBytes) } })] })).status,
    413,
  )
  assert.equal(
    (await one.ask('PUT', `/runs/${other.runId}/state`, { state: 'succeeded', reason: null, summary: null, check_result: null, agent_reported_cost: null }))
      .status,
    403,
  )
  assert.equal(
    (await one.ask('POST', '/usage', { run_id: other.runId, usage: [{ resource: 'cpu_seconds', amount: '1', quality: 'measured', service: 'x' }] })).status,
    403,
  )
  assert.equal((await one.ask('GET', '/nowhere')).status, 404)
  assert.deepEqual([await messages(one), await messages(other)], [[], []])
})

test('a time that a machine cannot know is taken as now', async () => {
  const one = await machine()
  const before = Date.now()
  await one.ask('POST', '/events', {
    boot_id: 'boot-0005',
    events: [told(one, 1, { at: '2999-01-01T00:00:00.000Z' }), told(one, 2, { at: '1999-01-01T00:00:00.000Z' })],
  })
  const rows = await db.selectFrom('events').select('at').where('run_id', '=', one.runId).execute()
  assert.ok(rows.length === 2 && rows.every(({ at }) => at.getTime() >= before - 1000 && at.getTime() <= Date.now()))
})

test('a waiting machine hears of a change at once, with the whole wish', async () => {
  const one = await machine()
  const first = await one.ask<Instructions>('GET', '/instructions')
  assert.equal(first.body.control, 'idle')
  const waiting = one.ask<Instructions>('GET', `/instructions?after=${first.body.revision}&wait=20`)
  await db.transaction().execute(async (tx) => setControl(tx, await lockMachine(tx, one.id), 'go', { run_id: one.runId }))
  const heard = await waiting
  assert.equal(heard.body.control, 'go')
  assert.equal(heard.body.run?.id, one.runId)
  assert.equal(heard.body.run?.prompt, 'do it')
})

test('the end of a run closes it once, and a late report changes nothing', async () => {
  const one = await machine()
  await one.ask('POST', '/register', { boot_id: 'boot-0006', agent_version: '1' })
  await database.pool.query(`update machines set state = 'running', control = 'go' where id = $1`, [one.id])
  const report = (state: string) => ({ state, reason: null, summary: `it ${state}`, check_result: null, agent_reported_cost: '42' })
  const ended = await one.ask<Instructions>('PUT', `/runs/${one.runId}/state`, report('succeeded'))
  assert.deepEqual([ended.body.control, ended.body.run], ['idle', null])
  await one.ask('PUT', `/runs/${one.runId}/state`, report('failed'))
  const run = await db.selectFrom('runs').selectAll().where('id', '=', one.runId).executeTakeFirstOrThrow()
  assert.deepEqual([run.state, run.summary, run.agent_reported_cost], ['succeeded', 'it succeeded', 42n])
  assert.equal((await db.selectFrom('machines').select('state').where('id', '=', one.id).executeTakeFirstOrThrow()).state, 'ready')
})

test('quiet is believed only while it was asked for', async () => {
  const one = await machine()
  const quiet = async () => (await db.selectFrom('machines').select('quiet_revision').where('id', '=', one.id).executeTakeFirstOrThrow()).quiet_revision
  await one.ask('POST', '/heartbeat', { boot_id: 'boot-0007', quiet: true })
  assert.equal(await quiet(), null)
  const revision = await db.transaction().execute(async (tx) => setControl(tx, await lockMachine(tx, one.id), 'quiesce'))
  await one.ask('POST', '/heartbeat', { boot_id: 'boot-0007', quiet: true })
  assert.equal(await quiet(), revision)
})
