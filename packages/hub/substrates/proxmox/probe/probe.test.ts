/** Each thing that can be wrong with a cluster, done to a stand-in for real, and what the probe says of it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { CreateSubstrate, type Finding, ProxmoxConfig } from '@autovibe/contract'
import { type Stage, stage } from '../../../../../test/proxmox/stage.ts'
import { pveumLines } from '../client/privileges.ts'
import { SHORT } from '../client/test-client.ts'
import type { ProxmoxCluster } from '../cluster.ts'
import { probeCluster } from './probe.ts'

const TEMPLATE = 9000
let at: Stage
let token = { id: '', secret: '' }
let port = 0
const described = (): boolean => at.pve.descriptionFile !== null

before(async () => {
  at = await stage({
    nodes: [{ name: 'pve1' }, { name: 'pve2', bridges: ['vmbr0', 'vmbr1', 'vmbr9'] }, { name: 'pve3' }],
    storages: [
      { id: 'ceph', type: 'rbd' },
      { id: 'thin', type: 'lvmthin' },
      { id: 'zfs', type: 'zfspool' },
      { id: 'files', type: 'dir', content: ['images'] },
      { id: 'thick', type: 'lvm' },
      { id: 'backups', type: 'pbs' },
      { id: 'isos', type: 'dir', content: ['iso'] },
      { id: 'some', type: 'lvmthin', nodes: ['pve1', 'pve2'] },
      { id: 'small', type: 'rbd', totalBytes: 30 * 1024 ** 3 },
    ],
    secondMs: 1,
    broadcastEveryS: 0,
  })
  await at.create(TEMPLATE, 'ceph', { ciupgrade: '0' })
  await at.root.task('POST', `/nodes/pve1/qemu/${TEMPLATE}/template`)
  const storages = ['ceph', 'thin', 'zfs', 'files', 'thick', 'backups', 'isos', 'some', 'small']
  for (const line of pveumLines({ user: 'autovibe@pve', token: 'hub', pool: 'autovibe', storages, bridges: ['vmbr1', 'vmbr9'], templates: [TEMPLATE] })) {
    const answer = (await at.pve.pveum(line)) as { 'full-tokenid'?: string; value?: string } | null
    if (answer?.value !== undefined) token = { id: answer['full-tokenid'] ?? '', secret: answer.value }
  }
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  port = (server.address() as { port: number }).port
  server.close()
  await once(server, 'close')
})
after(() => at.close())
afterEach(() => assert.deepEqual(at.pve.violations, []))

function settings(more: Partial<ProxmoxConfig> = {}, secret = token.secret): ProxmoxCluster {
  const given = CreateSubstrate.parse({
    name: 'lab',
    doors: [...at.pve.urls].map(([name, url]) => ({ url, fingerprint: at.pve.fingerprints.get(name) })),
    token_id: token.id,
    token_secret: secret,
    storage: 'ceph',
    templates: [{ vmid: TEMPLATE }],
    gate: { listen: `127.0.0.1:${port}`, advertised: `10.90.0.2:${port}` },
  })
  return { name: 'lab', config: { ...ProxmoxConfig.parse(given), ...more }, tokenSecret: secret }
}

const probe = (given = settings()): Promise<readonly Finding[]> =>
  probeCluster(given, { serves: false, signal: AbortSignal.timeout(30_000), limits: { ...SHORT, repeats: 0, lockDeadlineMs: 0 } })
/** What is not well, without the gate, whose advertised address this host does not have. */
const wrong = async (given = settings()): Promise<Finding[]> => (await probe(given)).filter(({ status, area }) => status !== 'ok' && area !== 'gate')
const brief = (findings: readonly Finding[]): string[] => findings.map(({ status, area, name }) => `${status} ${area} ${name}`)

test('a cluster on which all is well has nothing to mend, whatever the token sees is named, and nothing was written to it', async () => {
  const writes = at.pve.journal.entries.filter(({ method }) => method !== 'GET').length
  const digest = at.pve.digestOfVm(TEMPLATE)
  const findings = await probe()
  assert.deepEqual(brief(findings.filter(({ status, area }) => status !== 'ok' && area !== 'gate')), [])
  assert.deepEqual(
    [...new Set(findings.map(({ area }) => area))],
    ['door', 'token', 'node', 'storage', 'fork', 'bridge', 'firewall', 'template', 'numbers', 'gate'],
  )
  assert.equal(at.pve.journal.entries.filter(({ method }) => method !== 'GET').length, writes)
  assert.equal(at.pve.digestOfVm(TEMPLATE), digest)
})

test('a certificate that is not the known one is named before anything is sent, and nothing else is looked at', async () => {
  const asked = at.pve.journal.entries.length
  const { config, ...rest } = settings()
  const fingerprint = Array.from({ length: 32 }, () => '00').join(':')
  const findings = await wrong({ ...rest, config: { ...config, doors: config.doors.map((door) => ({ ...door, fingerprint })) } })
  assert.deepEqual(
    findings.map(({ status, area }) => `${status} ${area}`),
    Array(3).fill('failed door'),
  )
  assert.match(findings[0]?.fix ?? '', /pvenode cert info.*autovibe substrate set lab .*--fingerprint/)
  assert.equal(at.pve.journal.entries.length, asked)
})

test('one door with another certificate is a failure even where the others are as they were', async () => {
  const { config, ...rest } = settings()
  const [first, ...others] = config.doors
  assert.ok(first)
  const findings = await wrong({
    ...rest,
    config: { ...config, doors: [...others, { ...first, fingerprint: Array.from({ length: 32 }, () => '00').join(':') }] },
  })
  assert.deepEqual(brief(findings), [`failed door ${first.url}`])
})

test('a token with another secret is refused, and says what to do', async () => {
  const findings = await wrong(settings({}, 'c0ffee00-1111-4000-8000-000000000000'))
  assert.deepEqual(brief(findings), [`failed token ${token.id}`])
  assert.match(findings[0]?.fix ?? '', /pveum user token add/)
  assert.ok(!JSON.stringify(findings).includes('c0ffee00-1111'))
})

test('each privilege that is missing is named with the line that gives it, and after the line it is there', async (t) => {
  if (!described()) return t.skip('Proxmox’s description is not beside this checkout')
  const before = [...(at.pve.access.roles.get('AutovibeMachines') ?? [])]
  at.pve.access.addRole(
    'AutovibeMachines',
    before.filter((privilege) => privilege !== 'VM.Snapshot' && privilege !== 'VM.PowerMgmt'),
  )
  const findings = await wrong()
  assert.deepEqual(
    findings.map(({ status, area, name, fix }) => [status, area, name, fix]),
    ['VM.PowerMgmt', 'VM.Snapshot'].map((privilege) => [
      'failed',
      'token',
      '/pool/autovibe',
      `pveum role modify AutovibeMachines --privs ${privilege} --append 1`,
    ]),
  )
  for (const { fix } of findings) await at.pve.pveum(fix ?? '')
  assert.deepEqual(await wrong(), [])
})

test('a whole place on which the token has nothing gets the lines for its user and for itself', async (t) => {
  if (!described()) return t.skip('Proxmox’s description is not beside this checkout')
  at.pve.access.revoke(({ path }) => path === '/sdn/zones/localnetwork/vmbr1')
  const findings = await wrong()
  assert.deepEqual(brief(findings), ['failed token /sdn/zones/localnetwork/vmbr1'])
  for (const line of (findings[0]?.fix ?? '').split(' && ')) await at.pve.pveum(line)
  assert.deepEqual(await wrong(), [])
})

test('a token that may do things to VMs of others is told so', async () => {
  at.pve.access.grant('/vms', 'autovibe@pve', 'PVEVMAdmin')
  at.pve.access.grant('/vms', token.id, 'PVEVMAdmin')
  assert.deepEqual(brief(await wrong()), ['warning token /vms'])
  at.pve.access.revoke(({ path }) => path === '/vms')
})

test('a node that is down is a warning while others are up, and so is its door', async () => {
  await at.pve.crashNode('pve3')
  const findings = await wrong()
  assert.deepEqual(brief(findings), [`warning door ${at.pve.urls.get('pve3')}`, 'warning node pve3'])
  assert.match((await probe()).find(({ name }) => name === 'quorum')?.detail ?? '', /quorate without pve3/)
  await at.pve.crashNode('pve2')
  assert.ok(brief(await wrong()).includes('failed node quorum'))
  const alone = await wrong(settings({ nodes: ['pve3'] }))
  assert.ok(brief(alone).includes('failed node pve3') && brief(alone).includes('failed node all'))
  await at.pve.startNode('pve2')
  await at.pve.startNode('pve3')
})

test('a node that nobody has, and one under maintenance, are named', async () => {
  at.pve.cluster.node('pve2').maintenance = true
  const findings = await wrong(settings({ nodes: ['pve1', 'pve2', 'pve9'] }))
  assert.deepEqual(brief(findings), ['failed node pve9', 'warning node pve2'])
  assert.equal(findings[0]?.fix, 'autovibe substrate set lab --node pve1 --node pve2 --node pve3')
  at.pve.cluster.node('pve2').maintenance = false
})

test('a storage that is not there, takes no disks, is not on every node or is nearly full is named with its line', async () => {
  const first = async (storage: string): Promise<string[]> => {
    const found = (await wrong(settings({ storage }))).find(({ area }) => area === 'storage')
    return [found?.status ?? '', found?.name ?? '', found?.fix ?? '']
  }
  // Without privileges on it, it is as if it were not there.
  assert.deepEqual(await first('nowhere'), ['failed', 'nowhere', 'On pve1: pvesm status; then autovibe substrate set lab --storage STORAGE'])
  assert.deepEqual(await first('isos'), ['failed', 'isos on pve1', 'pvesm set isos --content iso,images'])
  const [status, , fix] = await first('some')
  assert.deepEqual(
    [status, fix],
    ['failed', 'pvesm set some --nodes pve1,pve2,pve3, or leave the node out: autovibe substrate set lab --node pve1 --node pve2'],
  )
  await at.create(700, 'small', { scsi0: 'small:25' })
  assert.deepEqual((await first('small')).slice(0, 2), ['warning', 'small on pve1'])
  at.pve.cluster.storages.get('thin').disabled = true
  assert.match((await first('thin'))[2] ?? '', /^pvesm set thin --disable 0$/)
  at.pve.cluster.storages.get('thin').disabled = false
})

test('what a fork will do is said for each type of storage, and why', async () => {
  const fork = async (storage: string): Promise<string> => {
    const found = (await probe(settings({ storage }))).find(({ area }) => area === 'fork')
    return `${found?.status}: ${found?.detail}`
  }
  assert.match(await fork('ceph'), /^ok: A fork is a linked clone of the checkpoint’s snapshot.*removed only after them/)
  assert.match(await fork('thin'), /^ok: A fork is a linked clone/)
  assert.match(
    await fork('zfs'),
    /^ok: A fork is a linked clone of the template, into which the tree comes from the checkpoint store.*clones no snapshot on zfspool/,
  )
  assert.match(await fork('files'), /^ok: .*only by copying the whole disk/)
  assert.match(await fork('thick'), /^failed: No machine can be made there.*copies a template only whole/)
  assert.match(await fork('backups'), /^failed: No machine can lie/)
})

test('a bridge that is missing on a node is named with the lines that make it', async () => {
  const findings = await wrong(settings({ bridge: 'vmbr9' }))
  assert.deepEqual(brief(findings), ['failed bridge vmbr9 on pve1', 'failed bridge vmbr9 on pve3'])
  assert.match(findings[0]?.fix ?? '', /^pvesh create \/nodes\/pve1\/network --iface vmbr9 --type bridge/)
})

test('a firewall that is off is a failure for the datacenter, and a warning for a node', async () => {
  at.pve.cluster.firewallOn = false
  at.pve.cluster.node('pve2').firewallOn = false
  const findings = await wrong()
  assert.deepEqual(brief(findings), ['failed firewall datacenter', 'warning firewall pve2'])
  assert.match(findings[0]?.fix ?? '', /^pvesh set \/cluster\/firewall\/options --enable 1/)
  at.pve.cluster.firewallOn = true
  at.pve.cluster.node('pve2').firewallOn = true
})

test('a template that is missing, outside the pool or no template is named, and so is what it lacks', async () => {
  assert.deepEqual(brief(await wrong(settings({ templates: [{ vmid: 9999, node: null }] }))), ['failed template 9999'])
  await at.create(9001, 'thin')
  const config = at.pve.cluster.vms.get(9001)?.config
  assert.ok(config)
  if (described()) {
    const outside = await wrong(settings({ templates: [{ vmid: 9001, node: null }] }))
    assert.deepEqual(brief(outside), ['failed template 9001'])
    assert.equal(
      outside[0]?.fix,
      'If there is one, bring it into the pool: pveum pool modify autovibe --vms 9001. If there is none, make it: autovibe substrate template build lab --node pve1 --image-storage STORAGE --vmid 9001',
    )
  }
  await at.pve.pveum('pveum pool modify autovibe --vms 9001')
  delete config['agent']
  delete config['ide2']
  const findings = await wrong(settings({ templates: [{ vmid: 9001, node: null }] }))
  assert.deepEqual(
    findings.map(({ status, fix }) => `${status} ${fix}`),
    [
      'failed On pve1: qm template 9001',
      'failed On pve1: qm set 9001 --agent 1',
      'failed On pve1: qm set 9001 --ide2 ceph:cloudinit',
      'failed Make it on ceph, or: autovibe substrate set lab --storage thin',
      'warning On pve1: qm set 9001 --ciupgrade 0',
    ],
  )
  const elsewhere = await wrong(settings({ templates: [{ vmid: TEMPLATE, node: 'pve2' }] }))
  assert.equal(elsewhere[0]?.fix, `autovibe substrate set lab --template ${TEMPLATE}@pve1`)
  await at.create(9002, 'thin', { ciupgrade: '0' })
  await at.root.task('POST', '/nodes/pve1/qemu/9002/template')
  await at.pve.pveum('pveum pool modify autovibe --vms 9002')
  const local = await wrong(settings({ storage: 'thin', templates: [{ vmid: 9002, node: null }] }))
  assert.deepEqual(brief(local), ['warning template pve2 and pve3'])
  assert.match(local[0]?.fix ?? '', /autovibe substrate set lab --template 9002@pve1 VMID@pve2$/)
})

test('a template whose making was broken off before its disk was one is named', async () => {
  await at.create(9003, 'thin', { ciupgrade: '0' })
  const config = at.pve.cluster.vms.get(9003)?.config
  assert.ok(config)
  config['template'] = '1'
  await at.pve.pveum('pveum pool modify autovibe --vms 9003')
  const [found] = await wrong(settings({ storage: 'thin', templates: [{ vmid: 9003, node: null }] }))
  assert.match(`${found?.status} ${found?.fix}`, /^failed On pve1: qm template 9003 --disk scsi0$/)
})

test('numbers of VMs of others are named, also where the token cannot see whose they are', async (t) => {
  at.pve.plantVm({ vmid: 900_003, node: 'pve1', name: 'mail' })
  const hidden = await wrong()
  assert.deepEqual(brief(hidden), ['warning numbers 900000 to 909999'])
  if (!described()) return t.skip('Proxmox’s description is not beside this checkout')
  assert.match(hidden[0]?.detail ?? '', /900003 \(whose, the token may not see\)/)
  await at.pve.pveum('pveum pool modify autovibe --vms 900003')
  assert.match((await wrong())[0]?.detail ?? '', /900003 \(mail\)/)
  const vm = at.pve.cluster.vms.get(900_003)
  assert.ok(vm)
  vm.config = { ...vm.config, tags: 'autovibe;hub' }
  assert.deepEqual(await wrong(), [])
  const full = await wrong(settings({ vmids: { from: 900_003, to: 900_003 } }))
  assert.deepEqual(brief(full), ['failed numbers 900003 to 900003'])
})

test('a probe that is out of time says so, and ends', async () => {
  const findings = await probeCluster(settings(), { serves: false, signal: AbortSignal.abort(), limits: SHORT })
  assert.ok(findings.some(({ status, detail }) => status === 'failed' && detail === 'There was no answer in time.'))
})
