import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { inspect } from 'node:util'
import { seededFaults } from '../../../../../test/proxmox/faults.ts'
import { type Stage, stage } from '../../../../../test/proxmox/stage.ts'
import { systemClock } from './clock.ts'
import type { ProxmoxError } from './errors.ts'
import { clientOf, credentialsOf, SHORT } from './test-client.ts'

const RULES = '/nodes/{node}/qemu/{vmid}/firewall/rules'
let at: Stage
before(async () => {
  at = await stage({ nodes: [{ name: 'pve1' }, { name: 'pve2' }, { name: 'pve3' }], storages: [{ id: 'thin', type: 'lvmthin' }], secondMs: 1 })
  await at.create(100, 'thin')
})
after(() => at.close())

const rule = (comment: string) => ({ node: 'pve1', vmid: 100, type: 'in', action: 'DROP', comment }) as const
const asked = (comment: string): number => at.pve.journal.entries.filter((entry) => entry.parameters['comment'] === comment).length
const failure = async (call: Promise<unknown>): Promise<ProxmoxError> =>
  call.then(
    () => assert.fail('it was not refused'),
    (error: ProxmoxError) => error,
  )

test('an unsafe write whose answer is lost goes out once, and says that nobody knows', async () => {
  const client = clientOf(at.pve)
  at.pve.setFaults((call) => (call.template === RULES && call.method === 'POST' ? { kind: 'reset', when: 'after' } : null))
  const error = await failure(client.call(`POST ${RULES}`, rule('once')))
  assert.deepEqual([error.code, error.kind, error.retryable], ['substrate.unavailable', 'unanswered', true])
  assert.equal(asked('once'), 1)
  at.pve.setFaults(null)
  await client.close()
})

test('a write that its caller calls idempotent goes out again, through another door', async () => {
  const client = clientOf(at.pve)
  at.pve.setFaults((call) => (call.template === RULES && call.door === 'pve1' ? { kind: 'reset', when: 'after' } : null))
  await client.call(`POST ${RULES}`, rule('twice'), { idempotent: true })
  assert.deepEqual(
    at.pve.journal.entries.filter((entry) => entry.parameters['comment'] === 'twice').map((entry) => entry.door),
    ['pve1', 'pve2'],
  )
  at.pve.setFaults(null)
  await client.close()
})

test('a number that is taken when the call went out again may be taken by the call itself, and the error says so', async () => {
  const client = clientOf(at.pve)
  await at.root.post('/pools', { poolid: 'hub' })
  at.pve.setFaults((call) => (call.template.endsWith('/clone') && call.nth === 1 ? { kind: 'reset', when: 'after' } : null))
  const clone = { node: 'pve1', vmid: 100, newid: 101, pool: 'hub', full: true }
  const error = await failure(client.call('POST /nodes/{node}/qemu/{vmid}/clone', clone, { idempotent: true }))
  assert.deepEqual([error.kind, error.repeated], ['taken', true])
  at.pve.setFaults(null)
  const again = await failure(client.call('POST /nodes/{node}/qemu/{vmid}/clone', clone, { idempotent: true }))
  assert.deepEqual([again.kind, again.repeated], ['taken', false])
  await client.close()
})

test('whatever goes wrong at any call, reads and idempotent writes come through and no unsafe write goes out twice', async () => {
  let lost = 0
  for (let seed = 1; seed <= 25; seed += 1) {
    const client = clientOf(at.pve, { limits: { ...SHORT, repeats: 40 } })
    const faults = seededFaults({ seed, rate: 0.4, most: 30 })
    at.pve.setFaults(faults.hook)
    for (let index = 0; index < 6; index += 1) {
      const comment = `seed ${seed} rule ${index}`
      await client.call(`POST ${RULES}`, rule(comment)).catch((error: ProxmoxError) => {
        lost += 1
        assert.match(error.kind, /^(?:unanswered|node unreachable|timed out)$/, `${comment}: ${inspect(error)}`)
      })
      assert.equal(asked(comment), 1, comment)
      assert.equal((await client.call('GET /nodes/{node}/qemu/{vmid}/status/current', { node: 'pve1', vmid: 100 })).vmid, 100)
      const policy_in = index % 2 === 0 ? 'DROP' : 'REJECT'
      await client.call('PUT /nodes/{node}/qemu/{vmid}/firewall/options', { node: 'pve1', vmid: 100, policy_in }, { idempotent: true })
      assert.equal((await client.call('GET /nodes/{node}/qemu/{vmid}/firewall/options', { node: 'pve1', vmid: 100 })).policy_in, policy_in)
    }
    await client.close()
  }
  at.pve.setFaults(null)
  assert.ok(lost > 10, `the faults met only ${lost} writes`)
})

test('a door that is gone is left out, for writes too, since nothing was sent to it', async () => {
  const client = clientOf(at.pve, { limits: { leaveOutMs: 60_000 } })
  await client.call('GET /version', {})
  await at.pve.crashNode('pve2')
  const others = clientOf(at.pve, { doors: ['pve2', 'pve3'].map((name) => ({ url: at.pve.urls.get(name) ?? '', fingerprint: at.pve.fingerprints.get(name) })) })
  await others.call(`POST ${RULES}`, rule('elsewhere'))
  assert.deepEqual(
    at.pve.journal.entries.filter((entry) => entry.parameters['comment'] === 'elsewhere').map((entry) => entry.door),
    ['pve3'],
  )
  const error = await failure(client.call('GET /nodes/{node}/status', { node: 'pve2' }))
  assert.deepEqual([error.code, error.kind, error.retryable], ['substrate.unavailable', 'node unreachable', true])
  await at.pve.startNode('pve2')
  assert.equal((await client.call('GET /nodes/{node}/status', { node: 'pve2' })).cpuinfo.cpus, 8)
  await Promise.all([client.close(), others.close()])
})

test('a lock is waited out, and named when it does not go', async () => {
  const vm = at.pve.cluster.vms.get(100)
  assert.ok(vm)
  let pauses = 0
  const clock = {
    ...systemClock,
    pause: async () => {
      pauses += 1
      if (pauses === 3) vm.lock = null
    },
  }
  const client = clientOf(at.pve, { clock })
  vm.lock = 'backup'
  await client.call('PUT /nodes/{node}/qemu/{vmid}/config', { node: 'pve1', vmid: 100, description: 'later' })
  assert.equal(pauses, 3)
  assert.equal(vm.config['description'], 'later')
  vm.lock = 'backup'
  const error = await failure(client.call('PUT /nodes/{node}/qemu/{vmid}/config', { node: 'pve1', vmid: 100, description: 'never' }, { lockDeadlineMs: 0 }))
  assert.deepEqual([error.code, error.kind, error.retryable], ['substrate.failed', 'locked', true])
  assert.match(error.message, /VM is locked \(backup\)/)
  assert.match(error.fix ?? '', /qm unlock/)
  vm.lock = null
  await client.close()
})

test('what is refused says why in Proxmox’s words, names parameters, and never shows a credential', async () => {
  at.pve.access.addUser('poor@pve')
  at.pve.access.addToken('poor@pve!t', 'very-secret-secret', { privilegeSeparated: false })
  const poor = clientOf(at.pve, { credentials: credentialsOf('poor@pve!t=very-secret-secret') })
  const wrong = clientOf(at.pve, { credentials: credentialsOf('poor@pve!t=another-secret-secret') })
  const root = clientOf(at.pve)
  const parameters = await failure(root.call('POST /nodes/{node}/qemu/{vmid}/clone', { node: 'pve1', vmid: 100, newid: 7, pool: 'hub' }))
  assert.deepEqual([parameters.code, parameters.kind, parameters.errors?.[0]?.path], ['substrate.failed', 'parameters', 'newid'])
  const credentials = await failure(wrong.call('GET /version', {}))
  assert.deepEqual([credentials.code, credentials.kind, credentials.retryable], ['substrate.unavailable', 'credentials', false])
  const absent = await failure(root.call('GET /nodes/{node}/qemu/{vmid}/config', { node: 'pve1', vmid: 999 }))
  assert.equal(absent.kind, 'absent')
  if (at.pve.descriptionFile !== null) {
    const forbidden = await failure(poor.call('GET /nodes/{node}/qemu/{vmid}/config', { node: 'pve1', vmid: 100 }))
    assert.deepEqual([forbidden.code, forbidden.kind], ['substrate.failed', 'forbidden'])
    assert.match(forbidden.fix ?? '', /^pveum role modify AutovibeMachines --privs VM\.Audit --append 1/)
    assert.doesNotMatch(inspect(forbidden, { depth: 20, showHidden: true }), /very-secret/)
  }
  at.pve.setFaults(() => ({ kind: 'reset', when: 'before' }))
  for (const error of [parameters, credentials, absent, await failure(poor.call('GET /version', {}))])
    assert.doesNotMatch(inspect(error, { depth: 20, showHidden: true }), /secret-secret|c0ffee00/)
  at.pve.setFaults(null)
  assert.doesNotMatch(inspect([poor, wrong], { depth: 20 }), /secret-secret/)
  await Promise.all([poor.close(), wrong.close(), root.close()])
})

test('a ticket is taken once for all, carries its CSRF token, and is renewed before it ends', async () => {
  at.pve.access.addUser('person@pve', { password: 'a secret' })
  at.pve.access.grant('/', 'person@pve', 'Administrator')
  let laterMs = 0
  const client = clientOf(at.pve, {
    credentials: { kind: 'ticket', username: 'person@pve', password: 'a secret' },
    clock: { ...systemClock, nowMs: () => Date.now() + laterMs },
  })
  const logins = (): number => at.pve.journal.count('POST', '/access/ticket')
  await Promise.all([client.call('GET /version', {}), client.call('GET /nodes', {}), client.call(`POST ${RULES}`, rule('by ticket'))])
  assert.equal(logins(), 1)
  laterMs = 91 * 60_000
  await client.call(`POST ${RULES}`, rule('by the next ticket'))
  assert.equal(logins(), 2)
  await client.close()
})
