/** Where a hostile agent would like to go, in network namespaces of this test's own: each attempt succeeds with a bare connection there, and the proxy refuses it. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type FreshDatabase, freshDatabase } from '../database/testing.ts'
import { systemRuntime } from '../runtime.ts'
import type { Names } from './testing/dns.ts'
import type { Order } from './testing/host.ts'
import { HOSTILE, makeNamespaces, namespacesRefused, WORLD } from './testing/namespaces.ts'
import { connectTo, eventsOf, makeMachine, readAll, setRules, type TestMachine } from './testing/testing.ts'

const NAMES: Names = {
  'public.test': [[WORLD.public, WORLD.public6]],
  'alias.test': [['public.test']],
  // The second answer is another than the first: whoever looks at one and connects by the name gets the other.
  'rebind.test': [[WORLD.public], ['169.254.169.254']],
  'rebind-again.test': [[WORLD.public], ['169.254.169.254']],
  'metadata.test': [['169.254.169.254']],
  'alias-of-metadata.test': [['metadata.test']],
  'mixed.test': [[WORLD.public, '10.9.8.7']],
  'mixed6.test': [[WORLD.public, 'fd12::9']],
  'loopback.test': [['127.0.0.1']],
  'loopback6.test': [['::1']],
  'mapped.test': [['::ffff:127.0.0.1']],
  'own.test': [[WORLD.own]],
  localhost: [['127.0.0.1']],
}
const skip = namespacesRefused()
let database: FreshDatabase
let folder: string
let spaces: Awaited<ReturnType<typeof makeNamespaces>>
let host: ChildProcess

const order = async (what: Order): Promise<string> => {
  const answered = once(host, 'message')
  host.send(what)
  return String((await answered)[0])
}
const bare = (name: string, asks = 0) => order({ kind: 'bare', host: name, asks })
const machineWith = async (...rules: Parameters<typeof setRules>[2][]): Promise<TestMachine> => {
  const machine = await makeMachine(database, systemRuntime, folder)
  await setRules(database, machine, ...rules)
  await order({ kind: 'listen', machineId: machine.id, socketPath: machine.socketPath })
  return machine
}
/** What is said at the other end of a tunnel to its port 80, or why there is none. */
const through = async (machine: TestMachine, destination: string, path = '/'): Promise<string> => {
  const { status, problem, socket } = await connectTo(machine, destination)
  if (status !== 200) return `${status} ${problem?.code}`
  socket.write(`GET ${path} HTTP/1.0\r\n\r\n`)
  return readAll(socket)
}
const literal = (address: string): string => (address.includes(':') ? `[${address}]:80` : `${address}:80`)

before(async () => {
  if (skip) return
  database = await freshDatabase()
  folder = await mkdtemp(join(tmpdir(), 'avhost-'))
  spaces = await makeNamespaces()
  await spaces.run('world', JSON.stringify(NAMES), WORLD.nameServer)
  host = await spaces.run('host', JSON.stringify(database.address), WORLD.nameServer)
})
after(async () => {
  if (skip) return
  const exited = once(host, 'exit')
  host.send({ kind: 'end' } satisfies Order)
  await exited
  await spaces.remove()
  await database.close()
  await rm(folder, { recursive: true, force: true })
})

test('what is public and allowed is reached, by name, by alias and by address of either family', { skip }, async () => {
  const machine = await machineWith('public.test:80', 'alias.test:80', literal(WORLD.public), literal(WORLD.public6))
  for (const destination of ['public.test:80', 'alias.test:80', literal(WORLD.public)])
    assert.match(await through(machine, destination), new RegExp(`secret of ::ffff:${WORLD.public}$`), destination)
  assert.match(await through(machine, literal(WORLD.public6)), new RegExp(`secret of ${WORLD.public6}$`))
})

test('every address that is not public answers a bare connection, and no rule leads to it', { skip }, async () => {
  const machine = await machineWith()
  for (const address of HOSTILE) {
    assert.match(await bare(address), /^secret of /, address)
    assert.match(await through(machine, literal(address)), /^403 egress\.not_allowed$/, address)
  }
  for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '0.0.0.0', WORLD.own]) {
    assert.equal(await bare(address), 'secret of the Hub', address)
    assert.match(await through(machine, literal(address)), /^403 egress\.not_allowed$/, address)
  }
})

test('even a rule that was written past the API lets nobody to loopback, link-local, metadata or translated addresses', { skip }, async () => {
  const allowable = /^(10\.|172\.20|192\.168|100\.64|fd12)/
  for (const address of [...HOSTILE, '127.0.0.1', '::1', '::ffff:127.0.0.1', '0.0.0.0'].filter((text) => !allowable.test(text))) {
    const machine = await machineWith({ destination: literal(address), private: true })
    assert.match(await through(machine, literal(address)), /^(403|500) /, address)
  }
})

test('an address of an own network is reached when it is allowed as private, and only that one', { skip }, async () => {
  const machine = await machineWith(
    { destination: '10.9.8.7:80', private: true },
    { destination: '[fd12::9]:80', private: true },
    { destination: `${WORLD.own}:80`, private: true },
  )
  assert.match(await through(machine, '10.9.8.7:80'), /secret of ::ffff:10\.9\.8\.7$/)
  assert.match(await through(machine, '[fd12::9]:80'), /secret of fd12::9$/)
  assert.match(await through(machine, `${WORLD.own}:80`), /secret of the Hub$/)
  assert.match(await through(machine, '192.168.7.7:80'), /^403 /)
})

test('a name that is rebound between two looks leads to what was looked at, or nowhere', { skip }, async () => {
  // One look to check and one to connect, as a careless proxy would: it ends at the metadata.
  assert.equal(await bare('rebind.test', 2), 'secret of ::ffff:169.254.169.254')
  const machine = await machineWith('rebind-again.test:80')
  assert.match(await through(machine, 'rebind-again.test:80'), new RegExp(`secret of ::ffff:${WORLD.public}$`))
  assert.match(await through(machine, 'rebind-again.test:80'), /^403 egress\.address_refused$/)
})

test('a name that leads to anything but public addresses is refused, however it does', { skip }, async () => {
  const names = [
    'metadata.test',
    'alias-of-metadata.test',
    'mixed.test',
    'mixed6.test',
    'loopback.test',
    'loopback6.test',
    'mapped.test',
    'own.test',
    'localhost',
  ]
  for (const name of ['metadata.test', 'alias-of-metadata.test', 'loopback.test', 'loopback6.test', 'mapped.test', 'own.test'])
    assert.match(await bare(name, 1), /^secret of /, name)
  const machine = await machineWith(...names.map((name) => `${name}:80`))
  for (const name of names) assert.match(await through(machine, `${name}:80`), /^403 egress\.address_refused$/, name)
  const told = await eventsOf(database, machine, 'egress.refused')
  assert.deepEqual(
    told.map(({ destination, place }) => [destination, place]),
    [
      ['metadata.test:80', 'metadata'],
      ['alias-of-metadata.test:80', 'metadata'],
      ['mixed.test:80', 'private'],
      ['mixed6.test:80', 'private'],
      ['loopback.test:80', 'loopback'],
      ['loopback6.test:80', 'loopback'],
      ['mapped.test:80', 'translated'],
      ['own.test:80', 'own'],
      ['localhost:80', 'loopback'],
    ],
  )
})

test('an address in another spelling is the loopback to the system, and nothing to the proxy', { skip }, async () => {
  const machine = await machineWith('*.test:80')
  for (const spelt of ['2130706433', '0x7f.1', '017700000001', '127.1', '0x7f000001']) {
    assert.equal(await bare(spelt), 'secret of the Hub', spelt)
    assert.equal(await through(machine, `${spelt}:80`), '400 request.invalid', spelt)
  }
})

test('a redirect is an answer like any other: the proxy follows none, and where it leads has to be asked for', { skip }, async () => {
  const machine = await machineWith('public.test:80')
  assert.match(await through(machine, 'public.test:80', '/redirect'), /^HTTP\/1\.1 302 [\s\S]*location: http:\/\/169\.254\.169\.254\//)
  assert.equal(await through(machine, '169.254.169.254:80'), '403 egress.not_allowed')
})
