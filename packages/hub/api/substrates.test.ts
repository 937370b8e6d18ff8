/** Substrates: clusters are remembered with sealed tokens, changed with If-Match, and chosen only while no machine lives elsewhere. */
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import type { CreateSubstrate, Page, Problem, Substrate, UsedSubstrate } from '@autovibe/contract'
import { substrateTokenContext } from '../security/secrets.ts'
import { readSubstrateInUse } from '../substrate-in-use.ts'
import { startTestApi } from './testing/test-api.ts'

const api = await startTestApi()
after(() => api.close())
const project = await api.project('on-substrates')

const SECRET = '5ec2e700-0000-4000-8000-000000000000'
const CLUSTER: CreateSubstrate = {
  name: 'lab',
  doors: [{ url: 'https://192.0.2.10:8006', fingerprint: Array.from({ length: 32 }, () => 'AB').join(':') }],
  token_id: 'autovibe@pve!hub',
  token_secret: SECRET,
  storage: 'thin',
  templates: [{ vmid: 9000 }],
  gate: { listen: '0.0.0.0:7443', advertised: '10.90.0.2:7443' },
}
const STATIC = { kind: 'static', subnet: '10.90.0.0/18', first: '10.90.1.0' } as const

beforeEach(async () => {
  await api.db.deleteFrom('substrates').execute()
  await api.db.updateTable('machines').set({ state: 'destroyed', destroyed_at: api.runtime.now() }).execute()
})

const create = (more: Partial<CreateSubstrate> = {}) => api.call<Substrate & Problem>('POST', '/v1/substrates', { body: { ...CLUSTER, ...more } })
const patch = (name: string, body: object, etag = '*') =>
  api.call<Substrate & Problem>('PATCH', `/v1/substrates/${name}`, { body, headers: { 'if-match': etag } })
const use = (name: string) => api.call<UsedSubstrate>('POST', `/v1/substrates/${name}/use`)
const start = () => readSubstrateInUse(api.db, api.secrets)
const list = async (query = '') => (await api.call<Page<Substrate>>('GET', `/v1/substrates${query}`)).body
const machineOn = async (substrate: 'local' | 'proxmox', name: string) => {
  const id = await api.machine(project, name, 'stopped')
  await api.db.updateTable('machines').set({ substrate }).where('id', '=', id).execute()
}

test('a cluster is remembered with what most clusters have, and its secret is sealed and never shown', async () => {
  const { status, body, text } = await create()
  assert.equal(status, 201)
  assert.deepEqual(body.proxmox, {
    doors: CLUSTER.doors,
    ca: null,
    token_id: 'autovibe@pve!hub',
    nodes: null,
    storage: 'thin',
    bridge: 'vmbr1',
    templates: [{ vmid: 9000, node: null }],
    vmids: { from: 900_000, to: 909_999 },
    pool: 'autovibe',
    gate: CLUSTER.gate,
    network: { kind: 'dhcp' },
    cores: 2,
    memory_mib: 4096,
    snapshots_most: 8,
    include_ram: false,
    archive: null,
    archives_kept: 3,
    spread_projects: true,
  })
  assert.deepEqual([body.in_use, body.serves, body.machines, body.version], [false, false, 0, '1'])
  const { token_sealed } = await api.db.selectFrom('substrates').select('token_sealed').executeTakeFirstOrThrow()
  assert.equal(api.secrets.open(token_sealed, substrateTokenContext('lab')), SECRET)
  const audit = await api.db.selectFrom('audit_log').select('detail').execute()
  const shown = await api.call('GET', '/v1/substrates/lab', { key: api.keys.user })
  for (const told of [text, shown.text, JSON.stringify(audit), token_sealed.toString('latin1')]) assert.ok(!told.includes(SECRET))
  assert.equal((await create()).body.code, 'conflict.name_taken')
})

test('this host is among the substrates, and is in use as long as no cluster is chosen', async () => {
  assert.deepEqual((await list()).items, [
    { name: 'local', kind: 'local', in_use: true, serves: true, machines: 0, proxmox: null, version: '0', updated_at: null },
  ])
  await create({ name: 'aaa' })
  await create({ name: 'zzz' })
  const names = ['']
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: Page<Substrate> = await list(`?limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`)
    names.push(...page.items.map(({ name }) => name))
    cursor = page.next_cursor
  }
  assert.deepEqual(names, ['', 'aaa', 'local', 'zzz'])
})

test('what fits its type and cannot be meant is refused, by the member', async () => {
  const refused: readonly [Partial<CreateSubstrate>, string][] = [
    [{ name: 'local' }, 'body.name'],
    [{ doors: [] }, 'body.doors'],
    [{ doors: [{ url: 'http://192.0.2.10:8006' }] }, 'body.doors.0.url'],
    [{ doors: [{ url: 'https://192.0.2.10:8006/api2' }] }, 'body.doors.0.url'],
    [{ doors: [{ url: 'https://user@192.0.2.10' }] }, 'body.doors.0.url'],
    [{ doors: [{ url: 'https://a:8006' }, { url: 'https://A:8006' }] }, 'body.doors'],
    [{ doors: [{ url: 'https://a:8006', fingerprint: 'AB:CD' }] }, 'body.doors.0.fingerprint'],
    [{ token_id: 'root@pam' }, 'body.token_id'],
    [{ token_secret: 'two words' }, 'body.token_secret'],
    [{ storage: "a'b" }, 'body.storage'],
    [{ pool: '$(id)' }, 'body.pool'],
    [{ gate: { listen: '0.0.0.0:7443', advertised: 'hub.example.com:7443' } }, 'body.gate.advertised'],
    [{ gate: { listen: '0.0.0.0', advertised: '10.0.0.1:7443' } }, 'body.gate.listen'],
    [{ gate: { listen: '0.0.0.0:70000', advertised: '10.0.0.1:7443' } }, 'body.gate.listen'],
    [{ vmids: { from: 200, to: 100 } }, 'body.vmids'],
    [{ vmids: { from: 8_000, to: 9_500 } }, 'body.templates'],
    [{ templates: [{ vmid: 9000 }, { vmid: 9001, node: 'pve2' }] }, 'body.templates'],
    [
      {
        templates: [
          { vmid: 9000, node: 'pve1' },
          { vmid: 9001, node: 'pve1' },
        ],
      },
      'body.templates',
    ],
    [{ network: { ...STATIC, subnet: '10.90.0.0/24', first: '10.90.0.10' } }, 'body.network'],
    [{ network: { ...STATIC, first: '10.90.0.1' } }, 'body.network'],
  ]
  for (const [more, path] of refused) {
    const { status, body } = await api.call('POST', '/v1/substrates', { body: { ...CLUSTER, ...more } })
    assert.deepEqual([status, body.code, body.errors?.[0]?.path], [400, 'request.invalid', path], JSON.stringify(more))
  }
  assert.equal((await create({ network: STATIC })).status, 201)
})

test('a change asks for the version that was seen, keeps what is left out, and counts up', async () => {
  await create()
  const seen = await api.call<Substrate>('GET', '/v1/substrates/lab')
  assert.equal(seen.headers['etag'], '"1"')
  assert.equal((await api.call('PATCH', '/v1/substrates/lab', { body: { cores: 4 } })).status, 428)
  const changed = await patch('lab', { cores: 4 }, '"1"')
  assert.deepEqual([changed.status, changed.headers['etag'], changed.body.proxmox?.cores, changed.body.proxmox?.storage], [200, '"2"', 4, 'thin'])
  assert.deepEqual([(await patch('lab', { cores: 8 }, '"1"')).body.code], ['request.precondition_failed'])
  assert.deepEqual([(await patch('local', { cores: 8 })).body.code, (await patch('none', {})).status], ['conflict.state', 404])
  await patch('lab', { token_secret: 'another-secret' })
  const { token_sealed } = await api.db.selectFrom('substrates').select('token_sealed').executeTakeFirstOrThrow()
  assert.equal(api.secrets.open(token_sealed, substrateTokenContext('lab')), 'another-secret')
})

test('a stored token is not sent to another door than it was given for; a new certificate at the same door is taken', async () => {
  await create()
  const elsewhere = { doors: [...CLUSTER.doors, { url: 'https://192.0.2.66:8006' }] }
  const moved = await patch('lab', elsewhere)
  assert.deepEqual([moved.status, moved.body.errors?.[0]?.path], [400, 'body.token_secret'])
  assert.equal((await patch('lab', { ...elsewhere, token_secret: SECRET })).status, 200)
  const renewed = { doors: [{ url: 'https://192.0.2.10:8006', fingerprint: Array.from({ length: 32 }, () => 'CD').join(':') }] }
  assert.equal((await patch('lab', renewed)).status, 200)
  assert.equal((await patch('lab', { token_id: 'other@pve!hub' })).body.errors?.[0]?.path, 'body.token_secret')
})

test('a chosen cluster is taken at the next start, and only one is', async () => {
  await create()
  await create({ name: 'other' })
  assert.equal(await start(), null)
  assert.deepEqual([(await use('lab')).body.takes_effect, (await use('other')).body.takes_effect], Array(2).fill('at the next start of the Hub'))
  assert.deepEqual(
    (await list()).items.map(({ name, in_use, serves }) => [name, in_use, serves]),
    [
      ['lab', false, false],
      ['local', false, true],
      ['other', true, false],
    ],
  )
  const settings = await start()
  assert.deepEqual([settings?.name, settings?.tokenSecret, settings?.config.pool], ['other', SECRET, 'autovibe'])
  assert.deepEqual(
    (await list()).items.map(({ name, in_use, serves }) => [name, in_use, serves]),
    [
      ['lab', false, false],
      ['local', false, false],
      ['other', true, true],
    ],
  )
  assert.equal((await use('other')).body.takes_effect, 'now')
  assert.equal((await use('local')).body.takes_effect, 'at the next start of the Hub')
  assert.equal(await start(), null)
  assert.equal((await use('none')).status, 404)
})

test('no other substrate is chosen while machines live on the one that serves, and the refusal names them', async () => {
  await create()
  await machineOn('local', 'here')
  const refused = await api.call('POST', '/v1/substrates/lab/use')
  assert.deepEqual([refused.status, refused.body.code], [409, 'conflict.state'])
  assert.match(refused.body.detail, /\bhere\b/)
  await api.db.updateTable('machines').set({ state: 'destroyed' }).execute()
  assert.equal((await use('lab')).status, 200)
  await start()
  await create({ name: 'other' })
  await machineOn('proxmox', 'there')
  for (const name of ['local', 'other']) assert.equal((await use(name)).status, 409, name)
  assert.equal((await use('lab')).body.takes_effect, 'now')
})

test('a machine made after another substrate was chosen keeps the Hub on the one before, until it is gone', async () => {
  await create()
  await use('lab')
  await machineOn('local', 'late')
  assert.equal(await start(), null)
  await api.db.updateTable('machines').set({ state: 'destroyed' }).execute()
  assert.equal((await start())?.name, 'lab')
  await use('local')
  await machineOn('proxmox', 'later')
  const warned: unknown[] = []
  assert.equal((await readSubstrateInUse(api.db, api.secrets, { warn: (fields: object) => warned.push(fields) } as never))?.name, 'lab')
  assert.deepEqual(warned, [{ chosen: 'local', stays: 'lab', machine: 'later' }])
})

test('a cluster that the Hub works with, or shall, is not removed; another is, with its token', async () => {
  await create()
  await use('lab')
  assert.deepEqual([(await api.call('DELETE', '/v1/substrates/lab')).body.code], ['conflict.state'])
  await start()
  await machineOn('proxmox', 'living')
  assert.match((await api.call('DELETE', '/v1/substrates/lab')).body.detail, /\bliving\b/)
  await api.db.updateTable('machines').set({ state: 'destroyed' }).execute()
  assert.equal((await api.call('DELETE', '/v1/substrates/lab')).status, 409)
  await use('local')
  await start()
  const removed = await api.call<Substrate>('DELETE', '/v1/substrates/lab')
  assert.deepEqual([removed.status, removed.body.name], [200, 'lab'])
  assert.deepEqual([(await api.call('GET', '/v1/substrates/lab')).status, (await api.call('DELETE', '/v1/substrates/local')).status], [404, 409])
})

test('by what machines are found nothing is changed while any lives there', async () => {
  await create({ network: STATIC })
  await use('lab')
  await start()
  await machineOn('proxmox', 'found')
  for (const change of [{ vmids: { from: 900_000, to: 900_001 } }, { pool: 'other' }, { network: { kind: 'dhcp' } }])
    assert.equal((await patch('lab', change)).status, 409, JSON.stringify(change))
  assert.equal((await patch('lab', { cores: 8, pool: 'autovibe' })).status, 200)
})

test('an ordinary key sees substrates and the lines for an administrator, and changes nothing', async () => {
  const grants = await api.call<{ token_id: string; lines: string[] }>('POST', '/v1/substrates/grants', {
    key: api.keys.user,
    body: { storages: ['thin'], templates: [9000] },
  })
  assert.deepEqual([grants.status, grants.body.token_id], [200, 'autovibe@pve!hub'])
  assert.ok(grants.body.lines.includes('pveum pool modify autovibe --vms 9000'))
  assert.ok(grants.body.lines.includes("pveum acl modify /storage/thin --tokens 'autovibe@pve!hub' --roles AutovibeStorages"))
  assert.equal((await api.call('POST', '/v1/substrates', { key: api.keys.user, body: CLUSTER })).status, 403)
})

test('this host is not probed, and a cluster that nobody brought is not there', async () => {
  assert.deepEqual([(await api.call('POST', '/v1/substrates/local/probe')).status, (await api.call('POST', '/v1/substrates/none/probe')).status], [409, 404])
})
