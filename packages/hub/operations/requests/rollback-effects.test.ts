/** What a machine has reached through the real proxy, as a rollback tells of it: since the checkpoint, each tunnel once, and nothing that was refused. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { CheckpointId } from '@autovibe/contract'
import { connectTo, openListener, openTestEgress, readAll, type TestMachine, tableNetwork } from '../../egress/testing/testing.ts'
import { systemRuntime } from '../../runtime.ts'
import { readRollbackEffects } from './rollback-effects.ts'

type Listener = Awaited<ReturnType<typeof openListener>>
let listener: Listener
const table = tableNetwork({ 'one.test': ['93.184.215.14'], 'two.test': ['93.184.215.14'] }, () => listener.port)
const hub = await openTestEgress(table.network)
before(async () => {
  listener = await openListener((socket) => socket.pipe(socket))
})
after(async () => {
  await hub.close()
  await listener.close()
})

async function say(machine: TestMachine, destination: string, words: string): Promise<void> {
  const { status, socket } = await connectTo(machine, destination)
  assert.equal(status, 200)
  socket.end(words)
  assert.equal(await readAll(socket), words)
}

/** The machine stands on a checkpoint that was frozen just now. */
async function freeze(machine: TestMachine, parent: CheckpointId | null): Promise<CheckpointId> {
  const id = systemRuntime.newId('checkpoint')
  const now = systemRuntime.now()
  await hub.pool.query(
    `insert into checkpoints (id, project_id, machine_id, parent_id, trigger, state, created_at, frozen_at) select $1, project_id, id, $3, 'demand', 'verified', $4, $4 from machines where id = $2`,
    [id, machine.id, parent, now],
  )
  await hub.pool.query('update machines set head_checkpoint_id = $1 where id = $2', [id, machine.id])
  return id
}

async function effects(machine: TestMachine, to: CheckpointId) {
  await hub.over()
  const row = await hub.db.selectFrom('machines').selectAll().where('id', '=', machine.id).executeTakeFirstOrThrow()
  return readRollbackEffects(hub.db, { machine: row, head: row.head_checkpoint_id, to })
}

test('connections since the checkpoint are told by destination with their bytes, and refused ones are not', async () => {
  const machine = await hub.machine('one.test:443', 'two.test:443')
  const first = await freeze(machine, null)
  await say(machine, 'one.test:443', 'hello')
  await say(machine, 'one.test:443', 'hello again')
  await hub.over()
  const second = await freeze(machine, first)
  await say(machine, 'two.test:443', 'x'.repeat(100))
  assert.equal((await connectTo(machine, 'three.test:443')).status, 403)
  const { egress, model_calls, commands } = await effects(machine, first)
  assert.deepEqual(egress, {
    connections: 3,
    bytes: '232',
    total: 2,
    destinations: [
      { destination: 'two.test:443', connections: 1, bytes: '200' },
      { destination: 'one.test:443', connections: 2, bytes: '32' },
    ],
  })
  assert.deepEqual(
    [model_calls, commands],
    [
      { total: 0, cost: '0', estimated: 0, models: [] },
      { total: 0, items: [] },
    ],
  )
  assert.deepEqual((await effects(machine, second)).egress, {
    connections: 1,
    bytes: '200',
    total: 1,
    destinations: [{ destination: 'two.test:443', connections: 1, bytes: '200' }],
  })
})

test('a tunnel that is still open is told of before its bytes are counted', async () => {
  const machine = await hub.machine('one.test:443')
  const first = await freeze(machine, null)
  const { socket } = await connectTo(machine, 'one.test:443')
  const row = await hub.db.selectFrom('machines').selectAll().where('id', '=', machine.id).executeTakeFirstOrThrow()
  const { egress } = await readRollbackEffects(hub.db, { machine: row, head: row.head_checkpoint_id, to: first })
  assert.deepEqual(egress.destinations, [{ destination: 'one.test:443', connections: 1, bytes: '0' }])
  socket.destroy()
})

test('a tunnel whose bytes a budget caps counts once however often it was charged, and so do those that were no longer told of one by one', async () => {
  const machine = await hub.machine('one.test:443')
  const first = await freeze(machine, null)
  for (let index = 0; index < 25; index++) await say(machine, 'one.test:443', 'a')
  await hub.cap(machine, 1000n)
  const { status, socket } = await connectTo(machine, 'one.test:443')
  assert.equal(status, 200)
  const answer = readAll(socket)
  for (let index = 0; index < 300; index++) socket.write('b')
  socket.end()
  assert.equal((await answer).length, 300)
  const { egress } = await effects(machine, first)
  assert.deepEqual(egress.destinations, [{ destination: 'one.test:443', connections: 26, bytes: '650' }])
  assert.equal(egress.connections, 26)
})
