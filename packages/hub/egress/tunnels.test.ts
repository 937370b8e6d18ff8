/** Open tunnels: how bytes go through them, what ends them, and that every byte is charged. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { after, before, test } from 'node:test'
import { LIMITS } from './limits.ts'
import { pump } from './pump.ts'
import { closed, connectTo, eventsOf, openListener, openTestEgress, readAll, tableNetwork, usageOf } from './testing/testing.ts'

const MIB = 1024 * 1024
let listener: Awaited<ReturnType<typeof openListener>>
let serve: (socket: Socket) => void = () => undefined
const table = tableNetwork({ 'public.test': ['93.184.215.14'], 'other.test': ['93.184.215.15'] }, () => listener.port)
const hub = await openTestEgress(table.network)
before(async () => {
  listener = await openListener((socket) => serve(socket))
})
after(async () => {
  await hub.close()
  await listener.close()
})

const endings = async (machine: Parameters<typeof usageOf>[1]) => (await usageOf(hub, machine)).flatMap(({ detail }) => detail['ended'] ?? [])
const totalOf = async (machine: Parameters<typeof usageOf>[1]) => (await usageOf(hub, machine)).reduce((sum, { amount }) => sum + amount, 0n)

test('one side may end and still hear the other out, in either direction', async () => {
  const machine = await hub.machine('public.test:443')
  serve = (socket) => void readAll(socket).then((text) => socket.end(`heard ${text}`))
  const asking = await connectTo(machine, 'public.test:443')
  asking.socket.end('all of it')
  assert.equal(await readAll(asking.socket), 'heard all of it')

  const heard = Promise.withResolvers<string>()
  serve = (socket) => {
    socket.end('bye')
    readAll(socket).then(heard.resolve, heard.reject)
  }
  const { socket } = await connectTo(machine, 'public.test:443')
  socket.allowHalfOpen = true
  assert.equal(await readAll(socket), 'bye')
  socket.end('one last word')
  assert.equal(await heard.promise, 'one last word')
  await hub.over()
  assert.deepEqual(await endings(machine), ['closed', 'closed'])
})

test('what passes is charged in slices that add up', async () => {
  const machine = await hub.machine('public.test:443')
  const size = 2 * LIMITS.sliceBytes + MIB
  serve = (socket) => void socket.once('data', () => socket.end(Buffer.alloc(size)))
  const { socket } = await connectTo(machine, 'public.test:443')
  socket.write('x')
  let received = 0
  for await (const piece of socket as AsyncIterable<Buffer>) received += piece.length
  assert.equal(received, size)
  await hub.over()
  assert.ok((await usageOf(hub, machine)).length >= 3)
  assert.equal(await totalOf(machine), BigInt(size + 1))
})

test('a side is read no faster than the other reads, and not while a charge is under way', async () => {
  const [pieces, pieceBytes] = [500, 64 * 1024]
  let pulled = 0
  const upstream = new Duplex({
    read() {
      this.push(pulled < pieces ? Buffer.alloc(pieceBytes) : null)
      pulled++
    },
    write: (_piece, _encoding, taken) => taken(),
  })
  const taking: (() => void)[] = []
  let isReading = false
  let written = 0
  const client = new Duplex({
    read() {
      this.push(null)
    },
    write(piece: Buffer, _encoding, taken) {
      written += piece.length
      if (isReading) taken()
      else taking.push(taken)
    },
  })
  const charge = Promise.withResolvers<void>()
  let charges = 0
  const limits = { idleMs: 2 ** 30, halfOpenIdleMs: 2 ** 30, head: Buffer.alloc(0), onIdle: () => undefined }
  const over = pump(client, upstream, { ...limits, onBytes: () => (charges++ === 100 ? charge.promise : undefined) })
  const turns = async (): Promise<void> => {
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
  await turns()
  assert.ok(pulled > 0 && pulled < 10, `${pulled} pieces were read for one that was taken`)
  isReading = true
  for (const taken of taking) taken()
  await turns()
  assert.ok(charges === 101 && pulled < 110, `${pulled} pieces were read beside a charge`)
  charge.resolve()
  assert.equal(await over, false)
  assert.equal(written, pieces * pieceBytes)
})

test('a destination that breaks off ends the tunnel, and so does a machine that goes', async () => {
  const machine = await hub.machine('public.test:443')
  serve = (socket) => socket.once('data', () => socket.resetAndDestroy())
  const first = await connectTo(machine, 'public.test:443')
  first.socket.write('x')
  await closed(first.socket)
  const arrived = Promise.withResolvers<Socket>()
  serve = arrived.resolve
  const second = await connectTo(machine, 'public.test:443')
  const upstream = await arrived.promise
  second.socket.write('x')
  await once(upstream, 'data')
  upstream.once('end', () => upstream.end())
  second.socket.destroy()
  await closed(upstream)
  await hub.over()
  assert.equal((await endings(machine)).length, 2)
})

test('tunnels end when the list no longer has their destination, and only those', async () => {
  const machine = await hub.machine('public.test:443', 'other.test:443')
  serve = (socket) => socket.pipe(socket)
  const [gone, stays] = [await connectTo(machine, 'public.test:443'), await connectTo(machine, 'other.test:443')]
  gone.socket.write('x')
  await once(gone.socket, 'data')
  await hub.setRules(machine, 'other.test:443')
  await closed(gone.socket)
  stays.socket.end('still here')
  assert.equal(await readAll(stays.socket), 'still here')
  await hub.over()
  assert.deepEqual((await endings(machine)).sort(), ['closed', 'withdrawn'])
  assert.equal((await connectTo(machine, 'public.test:443')).problem?.code, 'egress.not_allowed')
})

test('tunnels end with the token of their machine, and with its socket', async () => {
  serve = (socket) => socket.pipe(socket)
  const [one, other] = [await hub.machine('public.test:443'), await hub.machine('public.test:443')]
  const [first, second, third] = [await connectTo(one, 'public.test:443'), await connectTo(other, 'public.test:443'), await connectTo(other, 'public.test:443')]
  await hub.db.updateTable('machines').set({ token_hash: null, state: 'destroyed', destroyed_at: new Date() }).where('id', '=', one.id).execute()
  await closed(first.socket)
  second.socket.write('x')
  await once(second.socket, 'data')
  await hub.listener.close(other.id)
  await Promise.all([closed(second.socket), closed(third.socket)])
  await hub.over()
  assert.equal(await totalOf(other), 2n)
})

test('a tunnel without a byte is ended after a while', async () => {
  serve = (socket) => socket.resume()
  const never = 2 ** 30
  for (const [isEnded, limits] of [
    [false, { idleMs: 10, halfOpenIdleMs: never }],
    [true, { idleMs: never, halfOpenIdleMs: 10 }],
  ] as const) {
    const upstream = await table.network.connect({ family: 4, bits: 0n, text: '0.0.0.0' }, 1, new AbortController().signal)
    const client = new Duplex({ read: () => undefined, write: (_piece, _encoding, taken) => taken() })
    if (isEnded) client.push(null)
    const idle = Promise.withResolvers<void>()
    const over = pump(client, upstream, {
      ...limits,
      head: Buffer.alloc(0),
      onBytes: () => undefined,
      onIdle: () => {
        idle.resolve()
        client.destroy()
        upstream.destroy()
      },
    })
    await idle.promise
    await over
  }
})

test('a cap on bytes that is met refuses new tunnels, names the command that raises it, and ends those that meet it', async () => {
  const machine = await hub.machine('public.test:443')
  const budgetId = await hub.cap(machine, 1_000n)
  serve = (socket) => socket.pipe(socket)
  const { socket } = await connectTo(machine, 'public.test:443')
  socket.write(Buffer.alloc(600))
  await closed(socket)
  await hub.over()
  const used = await totalOf(machine)
  assert.ok(used >= 1_000n && used <= 1_200n, `${used} bytes`)
  const refused = await connectTo(machine, 'public.test:443')
  assert.deepEqual([refused.status, refused.problem?.code], [402, 'budget.exhausted'])
  assert.match(refused.problem?.fix ?? '', /^autovibe budget set /)
  assert.equal((await eventsOf(hub, machine, 'egress.refused')).at(-1)?.['code'], 'budget.exhausted')
  const { settled, reserved } = await hub.db.selectFrom('budgets').select(['settled', 'reserved']).where('id', '=', budgetId).executeTakeFirstOrThrow()
  assert.deepEqual([settled, reserved], [used, 0n])
  assert.deepEqual((await hub.ledger.audit()).findings, [])
})

test('the end of the Hub ends every tunnel, and its bytes are charged by then', async () => {
  serve = (socket) => socket.pipe(socket)
  const other = await openTestEgress(table.network)
  try {
    const machine = await other.machine('public.test:443')
    const { socket } = await connectTo(machine, 'public.test:443')
    socket.write('12345')
    await once(socket, 'data')
    await other.egress.close()
    await closed(socket)
    assert.deepEqual(
      (await usageOf(other, machine)).map(({ amount, detail }) => [amount, detail['ended']]),
      [[10n, 'hub']],
    )
    assert.equal((await connectTo(machine, 'public.test:443')).status, 502)
  } finally {
    await other.close()
  }
})
