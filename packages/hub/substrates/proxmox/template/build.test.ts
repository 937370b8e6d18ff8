/** The making of a template against a cluster that checks every request: from nothing to the end, and again wherever it was interrupted. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { WITHOUT_INSTALLING } from '../../../../../test/proxmox/installing-guests.ts'
import { parseDrive } from '../../../../../test/proxmox/vm-config.ts'
import { pveumLines } from '../client/privileges.ts'
import { awaitTask } from '../client/tasks.ts'
import { clientOf, credentialsOf } from '../client/test-client.ts'
import { probeTemplates } from '../probe/templates.ts'
import { type BuildStage, buildStage, IMAGE_SHA256, TOKEN_ID } from './test-stage.ts'

let at: BuildStage
let mail: string | null
const skip = WITHOUT_INSTALLING
before(async () => {
  if (skip !== false) return
  at = await buildStage()
  at.pve.plantVm({ vmid: 500, node: 'pve1', name: 'mail', tags: 'prod', config: { scsi0: 'thin:vm-500-disk-0' } })
  mail = at.pve.digestOfVm(500)
  await at.grant(9000)
})
after(() => at?.close())

const files = (): string[] =>
  at.pve.cluster.storages
    .volumes(at.pve.cluster.storages.get('local'), 'pve1')
    .map(({ volid }) => volid)
    .sort()
const configOf = (vmid: number): Readonly<Record<string, string>> => at.pve.cluster.vms.get(vmid)?.config ?? {}

test('from nothing to a template that machines can be cloned of, told step by step, and nothing else is left', { skip }, async () => {
  const told: string[] = []
  const made = await at.make({}, { tell: (step) => void (told.at(-1) === step || told.push(step)) })
  assert.ok('template' in made)
  assert.deepEqual([made.template.vmid, made.template.node, made.template.made], [9000, 'pve1', true])
  assert.deepEqual(told, ['looking', 'image', 'seed', 'vm', 'disk', 'start', 'mark', 'install', 'off', 'settle', 'convert', 'tidy'])
  const config = configOf(9000)
  assert.equal(config['name'], made.template.build)
  assert.equal(at.pve.cluster.poolOf(9000), 'autovibe')
  assert.deepEqual([config['template'], config['agent'], config['ciupgrade'], config['tags']], ['1', 'enabled=1', '0', 'autovibe-template'])
  assert.match(config['net0'] ?? '', /bridge=vmbr1,firewall=1|firewall=1,bridge=vmbr1/)
  assert.match(config['ide2'] ?? '', /^thin:.*cloudinit/)
  assert.equal(parseDrive('scsi0', config['scsi0'] ?? '').options['size'], '12G')
  assert.deepEqual(files(), [])
})

test('what the VM installed itself from was a whole disc with the user data of the script and the files of this version', { skip }, () => {
  const seed = at.guests.seeds.get(9000)
  assert.ok(seed, at.guests.failures.get(9000))
  assert.equal(seed.label, 'cidata')
  assert.ok((seed.userData['packages'] as string[]).includes('qemu-guest-agent'))
  assert.equal(seed.userData['power_state'], undefined, 'it stays on until somebody has heard that it is done')
  assert.deepEqual((seed.userData['runcmd'] as unknown[]).at(-1), [
    'sh',
    '-ec',
    'test -e /opt/autovibe/.template-made; systemctl start qemu-guest-agent; hostname autovibe-template-made',
  ])
  assert.deepEqual(seed.userData['bootcmd'], ['rm -f /var/lib/cloud/instances/*/sem/config_power_state_change'])
  assert.match(JSON.stringify(seed.userData['runcmd']), /LABEL=cidata/)
  assert.match(seed.metaData, /^instance-id: autovibe-template-[0-9a-f]{12}$/m)
  assert.deepEqual([seed.networkConfig, seed.nodeVersion], [null, process.versions.node])
})

test('a finished one says so at once, and changes nothing', { skip }, async () => {
  const digest = at.pve.digestOfVm(9000)
  const writes = at.pve.journal.writesTo(9000).length
  const made = await at.make()
  assert.ok('template' in made && !made.template.made)
  assert.equal(at.pve.journal.writesTo(9000).length, writes)
  assert.equal(at.pve.digestOfVm(9000), digest)
})

test('the Hub’s own token, which may do no more than before, makes machines of it, and the probe finds nothing wrong with it', { skip }, async () => {
  let token = ''
  for (const line of pveumLines({ user: 'autovibe@pve', token: 'hub', pool: 'autovibe', storages: ['thin'], bridges: ['vmbr1'] })) {
    if (line.startsWith('pveum pool add ')) continue
    const answer = (await at.pve.pveum(line)) as { 'full-tokenid'?: string; value?: string } | null
    if (answer?.value !== undefined) token = `${answer['full-tokenid']}=${answer.value}`
  }
  const client = clientOf(at.pve, { credentials: credentialsOf(token) })
  try {
    const signal = new AbortController().signal
    const findings = await probeTemplates({ name: 'lab', config: at.config, client, signal, nodes: ['pve1'] })
    assert.deepEqual(
      findings.map(({ status }) => status),
      ['ok'],
      JSON.stringify(findings),
    )
    const clone = { node: 'pve1', vmid: 9000, newid: 900_000, pool: 'autovibe', name: 'ours' }
    await awaitTask(client, await client.call('POST /nodes/{node}/qemu/{vmid}/clone', clone), { deadlineMs: 20_000 })
    assert.match(configOf(900_000)['net0'] ?? '', /bridge=vmbr1/)
    await assert.rejects(
      client.call('POST /nodes/{node}/storage/{storage}/download-url', {
        node: 'pve1',
        storage: 'local',
        content: 'import',
        filename: 'a.qcow2',
        url: at.imageUrl,
        checksum: IMAGE_SHA256,
        'checksum-algorithm': 'sha256',
      }),
      { kind: 'forbidden' },
    )
  } finally {
    await client.close()
  }
})

test('another image, or another version, is another template, and the one that is there stays', { skip }, async () => {
  await assert.rejects(at.make({ disk_gib: 20 }), { code: 'conflict.state', message: /template of another build already/ })
})

test('an address of its own is told to the VM, and a finished template is not given up', { skip }, async () => {
  await at.grant(9001)
  await at.make({ vmid: 9001, network: { kind: 'static', address: '192.0.2.30/24', gateway: '192.0.2.1', nameserver: '192.0.2.53' } })
  const config = JSON.parse(at.guests.seeds.get(9001)?.networkConfig ?? 'null') as { ethernets: { card: { addresses: string[] } } }
  assert.deepEqual(config.ethernets.card.addresses, ['192.0.2.30/24'])
  assert.deepEqual(await at.make({ vmid: 9001, abandon: true }), { removed: [] })
  assert.equal(configOf(9001)['template'], '1')
  assert.deepEqual(files(), [])
})

test('a build that is given up leaves nothing: its VM, running or not, and its files go, and with them the rights on its number', { skip }, async () => {
  await at.grant(9002)
  at.guests.stalled.add(9002)
  const given = new AbortController()
  const tell = (step: string): void => (step === 'install' ? given.abort(new Error('somebody pressed Ctrl-C')) : undefined)
  await assert.rejects(at.make({ vmid: 9002 }, { signal: given.signal, tell }), { message: 'somebody pressed Ctrl-C' })
  assert.equal(files().length, 2)
  const left = files()
  assert.deepEqual(await at.make({ vmid: 9002, abandon: true }), { removed: [...left, 'VM 9002'] })
  assert.deepEqual([at.pve.cluster.vms.has(9002), files()], [false, []])
  assert.deepEqual(await at.make({ vmid: 9002, abandon: true }), { removed: [] })
  await assert.rejects(at.make({ vmid: 9002 }), { message: new RegExp(`${TOKEN_ID} lacks.*VM\\.Allocate.* on /vms/9002`) })
})

test('nobody else’s VM was written to, by any of this', { skip }, () => {
  assert.deepEqual(at.pve.journal.writesTo(500), [])
  assert.equal(at.pve.digestOfVm(500), mail)
})
