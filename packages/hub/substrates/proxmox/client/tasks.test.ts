import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Fault } from '../../../../../test/proxmox/faults.ts'
import { type Stage, stage } from '../../../../../test/proxmox/stage.ts'
import type { ProxmoxClient } from './client.ts'
import { awaitTask, findLostTasks, runTask, type TaskDone } from './tasks.ts'
import { clientOf } from './test-client.ts'

const SNAPSHOT = 'POST /nodes/{node}/qemu/{vmid}/snapshot'
const DEADLINE = { deadlineMs: 20_000 }
let at: Stage
let client: ProxmoxClient
before(async () => {
  at = await stage({ nodes: [{ name: 'pve1' }, { name: 'pve2' }, { name: 'pve3' }], storages: [{ id: 'thin', type: 'lvmthin' }], secondMs: 2 })
  await at.create(100, 'thin')
  client = clientOf(at.pve)
})
after(async () => {
  await client.close()
  await at.close()
})

let snapshots = 0
/** A snapshot whose task meets this. */
async function meets(fault: Fault | null, started: (upid: string) => Promise<void> = async () => undefined): Promise<TaskDone> {
  snapshots += 1
  at.pve.setFaults((call) => (call.template.endsWith('/snapshot') && call.method === 'POST' ? fault : null))
  try {
    return await runTask(client, SNAPSHOT, { node: 'pve1', vmid: 100, snapname: `s${snapshots}` }, { ...DEADLINE, started })
  } finally {
    at.pve.setFaults(null)
  }
}

test('a task is awaited to its end, and its name is told before it is asked after', async () => {
  const told: string[] = []
  const asked = (): number =>
    at.pve.journal.entries.filter((entry) => entry.template === '/nodes/{node}/tasks/{upid}/status' && entry.parameters['upid'] === told[0]).length
  const done = await meets(null, async (upid) => {
    told.push(upid)
    assert.equal(asked(), 0)
  })
  assert.ok(asked() > 0)
  assert.deepEqual([told, done.warnings, done.log], [[done.upid], 0, []])
  assert.equal(at.pve.cluster.tasks.find(done.upid)?.exitstatus, 'OK')
})

test('warnings are a success that is told', async () => {
  const done = await meets({ kind: 'task', when: 'after', exit: 'WARNINGS: 1' })
  assert.equal(done.warnings, 1)
  assert.equal(done.log.at(-1), 'TASK WARNINGS: 1')
})

test('a task that fails tells its exit status and the last lines of its log', async () => {
  const error = await meets({ kind: 'task', when: 'after', exit: 'received interrupt' }).catch((thrown) => thrown)
  assert.deepEqual([error.code, error.kind, error.retryable], ['substrate.failed', 'task failed', false])
  assert.match(error.message, /qmsnapshot of 100 on pve1 failed: received interrupt/)
  assert.equal(error.log.at(-1), 'TASK ERROR: received interrupt')
  assert.match(error.fix, /^Its log has more: pvenode task log UPID:pve1:/)
})

test('a task that met a lock may be tried again', async () => {
  const exit = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
  await assert.rejects(meets({ kind: 'task', when: 'before', exit }), { kind: 'task failed', retryable: true })
})

for (const log of ['left', 'gone'] as const)
  test(`a task whose process is gone, its log ${log}, has vanished`, () =>
    assert.rejects(meets({ kind: 'task vanishes', when: 'after', log }), { code: 'substrate.failed', kind: 'task vanished', retryable: true }))

test('a task is awaited while its node restarts, and has vanished with it', async () => {
  const upid = at.pve.cluster.tasks.start({ node: 'pve1', type: 'qmclone', id: '100', user: 'root@pam!test' }, (worker) => worker.takes(36_000))
  await at.pve.crashNode('pve1')
  const asked = new Promise<void>((resolve) => {
    // Asked after in vain, through another door; then the node comes back.
    at.pve.setFaults((call) => {
      if (call.template === '/nodes/{node}/tasks/{upid}/status') resolve()
      return null
    })
  })
  const end = awaitTask(client, upid, DEADLINE)
  await asked
  at.pve.setFaults(null)
  await at.pve.startNode('pve1')
  await assert.rejects(end, { kind: 'task vanished' })
})

test('a task whose name was lost with its answer is found again and awaited', async () => {
  const sinceS = Math.floor(Date.now() / 1000)
  const lost = { type: 'qmstart', vmid: 100, sinceS, skewS: 60, known: new Set<string>() }
  assert.deepEqual(await findLostTasks(client, 'pve1', lost), [])
  at.pve.setFaults((call) => (call.template.endsWith('/status/start') ? { kind: 'reset', when: 'after' } : null))
  await assert.rejects(client.call('POST /nodes/{node}/qemu/{vmid}/status/start', { node: 'pve1', vmid: 100 }), { kind: 'unanswered' })
  at.pve.setFaults(null)
  const [found, ...more] = await findLostTasks(client, 'pve1', lost)
  assert.deepEqual([found?.type, found?.id, found?.node, more], ['qmstart', '100', 'pve1', []])
  assert.equal((await awaitTask(client, found?.upid ?? '', DEADLINE)).warnings, 0)
  assert.deepEqual(await findLostTasks(client, 'pve1', { ...lost, known: new Set([found?.upid ?? '']) }), [])
})

test('what is no UPID is never asked after', () =>
  assert.rejects(awaitTask(client, 'UPID:../../version', DEADLINE), { code: 'substrate.failed', kind: 'unreadable' }))

test('a task that does not end in time is left to run, and one that nobody awaits any longer is not asked after', async () => {
  const work = Promise.withResolvers<void>()
  const upid = at.pve.cluster.tasks.start({ node: 'pve1', type: 'qmclone', id: '100', user: 'root@pam!test' }, () => work.promise)
  await assert.rejects(awaitTask(client, upid, { deadlineMs: 0 }), { code: 'operation.deadline', retryable: false })
  const controller = new AbortController()
  const reason = new Error('no longer wanted')
  const end = awaitTask(client, upid, { ...DEADLINE, signal: controller.signal })
  controller.abort(reason)
  await assert.rejects(end, reason)
  work.resolve()
  assert.equal((await awaitTask(client, upid, DEADLINE)).upid, upid)
})
