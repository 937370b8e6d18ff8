import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { until } from '../support/until.ts'
import { type FaultCall, type FaultHook, PROXY_ERRORS, seededFaults } from './faults.ts'
import { storageLock, vmLock } from './locks.ts'
import { expectOk, type Stage, stage } from './stage.ts'

let at: Stage
let vmid = 100
const next = (): number => vmid++
const vm = (id: number): string => `/nodes/pve1/qemu/${id}`
before(async () => {
  at = await stage({ nodes: [{ name: 'pve1' }, { name: 'pve2' }], storages: [{ id: 'thin', type: 'lvmthin' }] })
})
afterEach(() => at.pve.setFaults(null))
after(() => at.close())

/** Something goes wrong with the next call of this template, once. */
function once(template: string, fault: ReturnType<FaultHook>): void {
  let left = 1
  at.pve.setFaults((call) => (call.template.endsWith(template) && call.method !== 'GET' && left-- > 0 ? fault : null))
}
/** Others wait until whoever holds it has let go. */
const freed = (name: string): Promise<true> => until(`${name} is free`, 20_000, async () => (at.pve.cluster.locks.pressure(name) === 0 ? true : undefined))
const exists = (id: number): boolean => at.pve.cluster.vms.has(id)

test('a connection that breaks before the effect has none, and one that breaks after it has it', async () => {
  const { root } = at
  const [first, second] = [next(), next()]
  once('/qemu', { kind: 'reset', when: 'before' })
  await assert.rejects(root.post('/nodes/pve1/qemu', { vmid: first }))
  assert.ok(!exists(first))
  once('/qemu', { kind: 'reset', when: 'after' })
  await assert.rejects(root.post('/nodes/pve1/qemu', { vmid: second }))
  await at.pve.cluster.tasks.settled()
  assert.ok(exists(second))
  const [task] = (await root.get('/nodes/pve1/tasks', { vmid: second })).data
  assert.equal(task.type, 'qmcreate', 'a lost UPID is found again among the tasks')
})

test('a proxy’s error hides whether it was done', async () => {
  const { root } = at
  const [first, second] = [next(), next()]
  once('/qemu', { kind: 'answer', when: 'before', ...PROXY_ERRORS.refused })
  const before = await root.post('/nodes/pve1/qemu', { vmid: first })
  assert.deepEqual([before.status, before.reason, before.body], [595, 'Connection refused', ''])
  assert.ok(!exists(first))
  once('/qemu', { kind: 'answer', when: 'after', ...PROXY_ERRORS.timedOut })
  assert.equal((await root.post('/nodes/pve1/qemu', { vmid: second })).status, 596)
  await at.pve.cluster.tasks.settled()
  assert.ok(exists(second))
})

test('an answer may never come', async () => {
  const { root } = at
  const id = next()
  once('/qemu', { kind: 'silence', when: 'after' })
  const lost = root.post('/nodes/pve1/qemu', { vmid: id }).then(
    () => 'answered',
    () => 'broken',
  )
  while (!exists(id)) await new Promise((resolve) => setImmediate(resolve))
  await at.pve.cluster.tasks.settled()
  assert.equal(await Promise.race([lost, Promise.resolve('nothing')]), 'nothing')
  assert.equal(at.pve.journal.writesTo(id)[0]?.status, null)
})

test('a worker that fails before its work leaves nothing, after it everything', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'thin')
  once('/snapshot', { kind: 'task', when: 'before', exit: 'I/O error' })
  assert.equal(await root.task('POST', `${vm(id)}/snapshot`, { snapname: 'one' }), 'I/O error')
  assert.equal((await root.get(`${vm(id)}/snapshot`)).data.length, 1)
  once('/snapshot', { kind: 'task', when: 'after', exit: 'received interrupt' })
  assert.equal(await root.task('POST', `${vm(id)}/snapshot`, { snapname: 'one' }), 'received interrupt')
  assert.equal((await root.get(`${vm(id)}/snapshot`)).data.length, 2)
})

test('a worker may end well and with a warning', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'thin')
  once('/status/start', { kind: 'task', when: 'after', exit: 'WARNINGS: 1' })
  const { data: upid } = await root.post(`${vm(id)}/status/start`)
  assert.equal(await root.ended(upid), 'WARNINGS: 1')
  assert.equal((await root.get(`/nodes/pve1/tasks/${encodeURIComponent(upid)}/log`)).data.at(-1).t, 'TASK WARNINGS: 1')
  assert.equal((await root.get('/nodes/pve1/tasks', { statusfilter: 'warning' })).data[0].upid, upid)
})

test('a worker that vanishes ends with no word, and with no log there is no such task', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'thin')
  once('/status/start', { kind: 'task vanishes', when: 'after', log: 'left' })
  assert.equal(await root.task('POST', `${vm(id)}/status/start`), 'unexpected status')
  assert.equal((await root.get(`${vm(id)}/status/current`)).data.status, 'running')
  once('/status/stop', { kind: 'task vanishes', when: 'before', log: 'gone' })
  const { data: upid } = await root.post(`${vm(id)}/status/stop`)
  await at.pve.cluster.tasks.settled()
  assert.deepEqual((await root.get(`/nodes/pve1/tasks/${encodeURIComponent(upid)}/status`)).errors, { upid: 'no such task' })
  assert.equal((await root.get(`${vm(id)}/status/current`)).data.status, 'running')
})

test('a node that dies takes its workers and guests with it and leaves what was locked locked', async () => {
  const own = await stage({ nodes: [{ name: 'pve1' }, { name: 'pve2' }], storages: [{ id: 'thin', type: 'lvmthin' }], durations: { copyPerGib: 10_000 } })
  try {
    await own.create(100, 'thin')
    await own.create(101, 'thin')
    expectOk(await own.root.task('POST', '/nodes/pve1/qemu/101/status/start'))
    const { data: upid } = await own.root.post('/nodes/pve1/qemu/100/clone', { newid: 102, full: 1 })
    while (own.pve.cluster.vms.get(102)?.lock !== 'clone') await new Promise((resolve) => setImmediate(resolve))
    await own.pve.crashNode('pve1')
    const elsewhere = (path: string): ReturnType<typeof own.root.ask> => own.root.ask('GET', path, {}, { door: 'pve2' })
    assert.equal((await elsewhere('/nodes/pve1/qemu')).status, 595)
    assert.equal((await elsewhere('/cluster/resources')).data.find((each: { vmid?: number }) => each.vmid === 101).status, 'unknown')
    await own.pve.startNode('pve1')
    const status = (await own.root.get(`/nodes/pve1/tasks/${encodeURIComponent(upid)}/status`)).data
    assert.deepEqual([status.status, status.exitstatus], ['stopped', 'unexpected status'])
    assert.equal((await own.root.get('/nodes/pve1/qemu/102/status/current')).data.lock, 'clone')
    assert.equal((await own.root.get('/nodes/pve1/qemu/101/status/current')).data.status, 'stopped')
    const left = own.pve.cluster.storages.volume('thin:vm-102-disk-0', 'pve1')
    assert.equal(left?.vmid, 102, 'nobody cleaned up')
    assert.equal(await own.root.task('DELETE', '/nodes/pve1/qemu/102'), 'VM is locked (clone)')
    assert.deepEqual(
      (await own.root.ask('DELETE', '/nodes/pve1/qemu/102', { skiplock: 1 })).errors,
      { skiplock: 'Only root may use this option.' },
      'not even root’s token may',
    )
  } finally {
    await own.close()
  }
})

test('a lock that somebody else holds times out', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'thin')
  once('/status/start', { kind: 'lock held', seconds: 200 })
  assert.equal(await root.task('POST', `${vm(id)}/status/start`), `can't lock file '/var/lock/qemu-server/lock-${id}.conf' - got timeout`)
  await freed(vmLock('pve1', id))
  once('/snapshot', { kind: 'lock held', seconds: 1 })
  expectOk(await root.task('POST', `${vm(id)}/snapshot`, { snapname: 'one' }))
})

test('the lock of a storage may be held as well', async () => {
  const { root } = at
  const id = next()
  once('/qemu', { kind: 'lock held', seconds: 200, storage: 'thin' })
  assert.equal(
    await root.task('POST', '/nodes/pve1/qemu', { vmid: id, scsi0: 'thin:1' }),
    `unable to create VM ${id} - can't lock file '/var/lock/pve-manager/pve-storage-thin' - got timeout`,
  )
  assert.ok(!exists(id))
  await freed(storageLock('pve1', 'thin', false))
})

test('a number that somebody takes first is refused, and his VM stays his', async () => {
  const { root } = at
  const [source, target] = [next(), next()]
  await at.create(source, 'thin')
  once('/clone', { kind: 'vmid taken' })
  assert.equal((await root.post(`${vm(source)}/clone`, { newid: target })).reason, `unable to create VM ${target}: config file already exists`)
  assert.equal((await root.get(`${vm(target)}/config`)).data.name, `somebody-elses-${target}`)
  once('/qemu', { kind: 'vmid taken' })
  const fresh = next()
  assert.equal((await root.post('/nodes/pve1/qemu', { vmid: fresh })).reason, `unable to create VM ${fresh} - VM ${fresh} already exists on node 'pve1'`)
})

test('the guest agent may be silent for one call', async () => {
  const { root } = at
  const id = next()
  await at.create(id, 'thin')
  expectOk(await root.task('POST', `${vm(id)}/status/start`))
  once('/agent/ping', { kind: 'agent silent' })
  assert.equal((await root.post(`${vm(id)}/agent/ping`)).reason, 'QEMU guest agent is not running')
  assert.equal((await root.post(`${vm(id)}/agent/ping`)).status, 200)
})

test('a node may go down at a call', async () => {
  const own = await stage({ nodes: [{ name: 'pve1' }, { name: 'pve2' }] })
  try {
    own.pve.setFaults((call) => (call.path === '/nodes/pve2/status' ? { kind: 'node down' } : null))
    assert.equal((await own.root.get('/nodes/pve2/status')).status, 595)
    assert.equal(own.pve.cluster.nodes.get('pve2')?.online, false)
  } finally {
    await own.close()
  }
})

test('a seed decides, and the same seed decides the same, whatever comes between', () => {
  const call = (template: string, nth: number): FaultCall => ({ method: 'POST', template, path: template, parameters: {}, who: null, door: 'pve1', nth })
  const calls = Array.from({ length: 200 }, (_, index) =>
    call(index % 2 === 0 ? '/nodes/{node}/qemu/{vmid}/clone' : '/nodes/{node}/qemu/{vmid}/agent/ping', Math.floor(index / 2) + 1),
  )
  const decided = (seed: number, order: readonly FaultCall[]): string[] => {
    const { hook, met } = seededFaults({ seed, rate: 0.3, most: 1000 })
    for (const each of order) hook(each)
    return met.map((each) => JSON.stringify(each)).sort()
  }
  assert.deepEqual(decided(1, calls), decided(1, calls.toReversed()))
  assert.notDeepEqual(decided(1, calls), decided(2, calls))
  const kinds = new Set(Array.from({ length: 30 }, (_, seed) => decided(seed, calls)).flatMap((met) => met.map((each) => JSON.parse(each).fault.kind)))
  assert.deepEqual([...kinds].sort(), ['agent silent', 'answer', 'lock held', 'reset', 'task', 'task vanishes', 'vmid taken'])
  const { hook, met } = seededFaults({ seed: 1, rate: 1, most: 3, spare: (each) => each.template.endsWith('/ping') })
  for (const each of calls) hook(each)
  assert.equal(met.length, 3)
  assert.ok(met.every((each) => each.call.includes('/clone')))
})
