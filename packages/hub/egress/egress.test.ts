/** The proxy on a machine's own socket: what is refused and how it is said, what is let through, what is written down. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { LIMITS } from './limits.ts'
import { ask, authorized, closed, connectTo, eventsOf, openListener, openTestEgress, readAll, tableNetwork, usageOf } from './testing/testing.ts'

type Listener = Awaited<ReturnType<typeof openListener>>
let listener: Listener
const table = tableNetwork(
  {
    'public.test': ['93.184.215.14'],
    'a.wide.test': ['93.184.215.14', '2606:2800:21f::1'],
    'private.test': ['10.1.2.3'],
    'mixed.test': ['93.184.215.14', '192.168.1.1'],
    'metadata.test': ['169.254.169.254'],
    'mapped.test': ['::ffff:93.184.215.14'],
    'own.test': ['8.8.4.4'],
    'spelt.test': ['2130706433'],
  },
  () => listener.port,
)
const hub = await openTestEgress(table.network)
before(async () => {
  listener = await openListener((socket) => socket.pipe(socket))
})
after(async () => {
  await hub.close()
  await listener.close()
})

test('without an allow-list everything is refused, with the command that would allow it', async () => {
  const machine = await hub.machine()
  const { status, phrase, problem } = await connectTo(machine, 'Public.Test.:443')
  const fix = `autovibe project egress ${machine.project} --allow public.test:443`
  assert.equal(status, 403)
  assert.equal(phrase, `Forbidden (${fix})`)
  assert.deepEqual([problem?.code, problem?.fix, problem?.status], ['egress.not_allowed', fix, 403])
  assert.match(problem?.detail ?? '', /does not allow public\.test:443, and allows nothing beyond the Hub/)
  const [event] = await eventsOf(hub, machine, 'egress.refused')
  assert.deepEqual([event?.['destination'], event?.['code'], event?.['fix']], ['Public.Test.:443', 'egress.not_allowed', fix])
})

test('what is on the list is reached, and its bytes are counted both ways and written down', async () => {
  const machine = await hub.machine('public.test:443', '*.wide.test:8443')
  for (const [destination, address] of [
    ['public.test:443', '93.184.215.14 443'],
    ['a.wide.test:8443', '93.184.215.14 8443'],
  ] as const) {
    const { status, socket } = await connectTo(machine, destination)
    assert.equal(status, 200)
    socket.end('hello')
    assert.equal(await readAll(socket), 'hello')
    assert.equal(table.connected.at(-1), address)
  }
  await hub.over()
  const usage = await usageOf(hub, machine)
  assert.deepEqual(
    usage.map(({ resource, amount, quality, run_id }) => [resource, amount, quality, run_id]),
    Array(2).fill(['egress_bytes', 10n, 'measured', machine.runId]),
  )
  assert.deepEqual(usage[0]?.detail, { ...usage[0]?.detail, destination: 'public.test:443', sent_bytes: 5, received_bytes: 5, ended: 'closed' })
  assert.deepEqual(await eventsOf(hub, machine, 'egress.allowed'), [
    { destination: 'public.test:443', address: '93.184.215.14', place: 'public' },
    { destination: 'a.wide.test:8443', address: '93.184.215.14', place: 'public' },
  ])
})

test('what is not on the list is not resolved either: a name must not carry words out', async () => {
  const machine = await hub.machine('public.test:443')
  table.resolved.length = 0
  for (const destination of ['secret-words.other.test:443', 'public.test:80', 'x.public.test:443'])
    assert.equal((await connectTo(machine, destination)).status, 403)
  assert.deepEqual(table.resolved, [])
})

test('an allowed name that leads to anything but public addresses is refused, whichever of its addresses it is', async () => {
  const names = ['private', 'mixed', 'metadata', 'mapped', 'own', 'spelt']
  const machine = await hub.machine(...names.map((name) => `${name}.test:443`))
  table.connected.length = 0
  const seen = []
  for (const name of names) {
    const { status, problem } = await connectTo(machine, `${name}.test:443`)
    seen.push([name, status, problem?.code])
    // Which address it was is for people alone.
    assert.doesNotMatch(JSON.stringify(problem), /10\.1\.2\.3|192\.168|169\.254/)
  }
  assert.deepEqual(
    seen,
    names.map((name) => [name, 403, 'egress.address_refused']),
  )
  assert.deepEqual(table.connected, [])
  assert.deepEqual(
    (await eventsOf(hub, machine, 'egress.refused')).map(({ address, place }) => [address, place]),
    [
      ['10.1.2.3', 'private'],
      ['192.168.1.1', 'private'],
      ['169.254.169.254', 'metadata'],
      ['::ffff:5db8:d70e', 'translated'],
      ['8.8.4.4', 'own'],
      ['2130706433', 'unreadable'],
    ],
  )
})

test('a private address is reached by its literal when it is allowed as private, and the name that leads to it still is not', async () => {
  const machine = await hub.machine({ destination: '10.1.2.3:5000', private: true }, 'private.test:5000')
  const { status, socket } = await connectTo(machine, '10.1.2.3:5000')
  assert.equal(status, 200)
  socket.destroy()
  assert.equal((await connectTo(machine, 'private.test:5000')).status, 403)
  const refused = await connectTo(machine, '10.1.2.4:5000')
  assert.equal(refused.problem?.fix, `autovibe project egress ${machine.project} --allow-private 10.1.2.4:5000`)
})

test('what is no destination, or no plain CONNECT, is refused before anything is looked up', async () => {
  const machine = await hub.machine('public.test:443')
  for (const destination of [
    '2130706433:80',
    '0x7f.1:80',
    '017700000001:80',
    'public.test',
    '[::1%lo]:80',
    'user@public.test:443',
    '*.test:443',
    `${'a'.repeat(300)}:1`,
  ])
    assert.deepEqual([destination, (await connectTo(machine, destination)).problem?.code], [destination, 'request.invalid'])
  const withBody = await ask(machine.socketPath, 'public.test:443', { ...authorized(machine), 'content-length': '5' })
  assert.equal(withBody.problem?.code, 'request.invalid')
})

test('a machine is known by its own token, as a bearer or as a password, on its own socket alone', async () => {
  const [one, other] = [await hub.machine('public.test:443'), await hub.machine('public.test:443')]
  const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
  const statusOf = async (header: string | undefined) => {
    const { status, socket } = await ask(one.socketPath, 'public.test:443', header === undefined ? {} : { 'proxy-authorization': header })
    socket.destroy()
    return status
  }
  for (const good of [`Bearer ${one.token}`, basic(`:${one.token}`), basic(`agent:${one.token}`)]) assert.equal(await statusOf(good), 200, good)
  for (const bad of [undefined, '', 'Bearer ', 'Bearer x', `Bearer ${other.token}`, basic(one.token), basic(`${one.token}:`), `Digest ${one.token}`])
    assert.equal(await statusOf(bad), 407, bad)
  const { problem } = await ask(one.socketPath, 'public.test:443', {})
  assert.equal(problem?.code, 'auth.missing')
  await hub.db.updateTable('machines').set({ token_hash: null }).where('id', '=', one.id).execute()
  assert.equal(await statusOf(`Bearer ${one.token}`), 407)
})

test('a machine at rest may reach what its project allows, without a run to put it on', async () => {
  const machine = await hub.machine('public.test:443')
  await hub.db.updateTable('runs').set({ state: 'succeeded', ended_at: new Date() }).where('id', '=', machine.runId).execute()
  const { socket } = await connectTo(machine, 'public.test:443')
  socket.end('x')
  await readAll(socket)
  await hub.over()
  assert.deepEqual(
    (await usageOf(hub, machine)).map(({ amount, run_id }) => [amount, run_id]),
    [[2n, null]],
  )
})

test('a destination that nobody answers at, or that there is not, is said so and may be tried again', async () => {
  const machine = await hub.machine('nowhere.test:443', 'public.test:443')
  const nowhere = await connectTo(machine, 'nowhere.test:443')
  assert.deepEqual([nowhere.status, nowhere.problem?.code, nowhere.problem?.retryable], [502, 'egress.unreachable', false])
  const gone = await openListener(() => undefined)
  await gone.close()
  const deaf = tableNetwork({ 'public.test': ['93.184.215.14'] }, () => gone.port)
  const other = await openTestEgress(deaf.network)
  try {
    const one = await other.machine('public.test:443')
    const refused = await connectTo(one, 'public.test:443')
    assert.deepEqual([refused.status, refused.problem?.retryable], [502, true])
    assert.match(refused.problem?.detail ?? '', /ECONNREFUSED/)
  } finally {
    await other.close()
  }
})

test('events are told at a bounded rate, and what was left out is counted in the next one', async () => {
  let nowMs = Date.now()
  const runtime = { ...(await import('../runtime.ts')).systemRuntime, now: () => new Date(nowMs) }
  const other = await openTestEgress(table.network, runtime)
  try {
    const machine = await other.machine()
    for (let i = 0; i < LIMITS.eventsPerMinute + 5; i++) await connectTo(machine, `host-${i}.test:443`)
    assert.equal((await eventsOf(other, machine, 'egress.refused')).length, LIMITS.eventsPerMinute)
    nowMs += 60_000
    await connectTo(machine, 'last.test:443')
    assert.deepEqual((await eventsOf(other, machine, 'egress.refused')).at(-1)?.['suppressed_before'], 5)
  } finally {
    await other.close()
  }
})

test('attempts have a rate of their own, and a machine that is over it is told so without a look at the database', async () => {
  let nowMs = Date.now()
  const runtime = { ...(await import('../runtime.ts')).systemRuntime, now: () => new Date(nowMs) }
  const other = await openTestEgress(table.network, runtime)
  try {
    const [machine, neighbour] = [await other.machine(), await other.machine()]
    const codes = new Map<string | undefined, number>()
    for (let i = 0; i < LIMITS.attemptsPerMinute + 3; i++) {
      const { problem } = await connectTo(machine, 'host.test:443')
      codes.set(problem?.code, (codes.get(problem?.code) ?? 0) + 1)
    }
    assert.deepEqual(
      [...codes],
      [
        ['egress.not_allowed', LIMITS.attemptsPerMinute],
        ['request.rate_limited', 3],
      ],
    )
    assert.equal((await connectTo(neighbour, 'host.test:443')).problem?.code, 'egress.not_allowed')
    nowMs += 60_000
    assert.equal((await connectTo(machine, 'host.test:443')).problem?.code, 'egress.not_allowed')
  } finally {
    await other.close()
  }
})

test('a machine has so many tunnels and no more, and the one that ends makes room; its door still answers', async () => {
  const machine = await hub.machine('public.test:443')
  const open = []
  for (let i = 0; i < LIMITS.tunnelsPerMachine; i++) open.push(await connectTo(machine, 'public.test:443'))
  assert.ok(open.every(({ status }) => status === 200))
  const refused = await connectTo(machine, 'public.test:443')
  assert.deepEqual([refused.status, refused.problem?.code], [429, 'request.rate_limited'])
  const door = connect(machine.socketPath)
  door.end('GET /door/x HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n')
  assert.match(await readAll(door), /^HTTP\/1\.1 404/)
  const [first] = open
  assert.ok(first)
  first.socket.end()
  await readAll(first.socket)
  // The room is made when its bytes are charged.
  let again = await connectTo(machine, 'public.test:443')
  for (let tries = 0; again.status !== 200 && tries < 100; tries++) again = await connectTo(machine, 'public.test:443')
  assert.equal(again.status, 200)
  for (const { socket } of [...open, again]) socket.destroy()
  await hub.over()
})

test('early words of a client reach the destination after it is connected, and none of them when it is refused', async () => {
  const machine = await hub.machine('public.test:443')
  const say = async (destination: string) => {
    const raw = connect(machine.socketPath)
    await once(raw, 'connect')
    raw.end(`CONNECT ${destination} HTTP/1.1\r\nproxy-authorization: Bearer ${machine.token}\r\n\r\nearly words`)
    return readAll(raw)
  }
  assert.equal(await say('public.test:443'), 'HTTP/1.1 200 Connection established\r\n\r\nearly words')
  assert.match(await say('other.test:443'), /^HTTP\/1\.1 403 /)
})

test('a rule that is taken back while a name is being looked up lets nobody through', async () => {
  const gate = Promise.withResolvers<readonly string[]>()
  const asked = Promise.withResolvers<void>()
  const slow = await openTestEgress({
    ...table.network,
    resolve: () => {
      asked.resolve()
      return gate.promise
    },
  })
  try {
    const machine = await slow.machine('public.test:443')
    const answer = connectTo(machine, 'public.test:443').then(
      ({ status }) => status,
      () => 'closed',
    )
    await asked.promise
    await slow.setRules(machine)
    await heard(slow)
    gate.resolve(['93.184.215.14'])
    assert.notEqual(await answer, 200)
    assert.deepEqual(await eventsOf(slow, machine, 'egress.allowed'), [])
  } finally {
    await slow.close()
  }
})

/** Resolves when the proxy has heard of everything before: a later change ends a tunnel, which it does only when it has heard of it. */
async function heard(other: Awaited<ReturnType<typeof openTestEgress>>): Promise<void> {
  const witness = await other.machine('93.184.215.14:443')
  const { socket } = await connectTo(witness, '93.184.215.14:443')
  await other.setRules(witness)
  await closed(socket)
}
